"""Two random views of each image of a batch, on the batch's device.

Crop, flip, rotation and resize are one affine map per image and one `grid_sample` for both views of
the batch; all changes of color are one matrix per image. Separate batched operations would read the
pixels ten times, and augmenting image by image is slower still: docs/performance.md compares them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from raymoco.config.views import (
    OF_COLOR,
    RECIPES,
    ViewParameters,
    ViewsConfig,
    with_parameters,
)
from raymoco.data.views.color import (
    ColorJitter,
    blur_some,
    jitter_color,
    jitter_light,
    solarize_some,
)
from raymoco.data.views.whole import aspects, is_canvas
from raymoco.errors import ConfigError

CROP_TRIES = 10  # torchvision's


class Normalize(nn.Module):
    """uint8 images (B, C, H, W) to float32 with zero mean and unit variance, nothing random."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images.float() / 255 - self.mean) / self.std


class TwoViews(nn.Module):
    """Makes two views of each image by the `recipe` of a subclass.

    Random numbers come from torch's global generator: equal seeds give equal views on one kind of
    device.

    Args:
        channels: 1 or 3.
        image_size: side of the views in pixels; usually that of the images.
        mean: per channel, in 0-1.
        std: per channel, in 0-1.
        options: parameters instead of the recipe's.
    Raises:
        ConfigError: a change of color is asked for, but the images are gray.
    """

    takes_whole: ClassVar[bool] = True
    Options = ViewsConfig
    recipe: ClassVar[ViewParameters]
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        channels: int,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        options: ViewsConfig | None = None,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.parameters_of_views = found = with_parameters(
            self.recipe, options.given() if options else {}
        )
        self._blur = found.blur_at(image_size)
        self._color: ColorJitter | None = None
        if any(getattr(found, name) for name in OF_COLOR):
            require_color(found, channels)
            self._color = ColorJitter(
                found.brightness,
                found.contrast,
                found.saturation,
                found.hue,
                found.jitter,
                found.grayscale,
            )

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) uint8 to two (B, C, image_size, image_size) float32, normalized.

        Canvases are cut as the photographs that they are of.
        """
        found, aspect_N = self.parameters_of_views, None
        if is_canvas(images):
            aspect_N = aspects(images).repeat(2)
            images = images[:, :, :-1]
        # in place where possible: at 224 px a batch of views takes hundreds of megabytes
        views = self._crop(torch.cat([images, images]).float().div_(255), aspect_N)
        if self._color is None:
            views = jitter_light(views, found.brightness, found.contrast, found.jitter)
        else:
            views = jitter_color(views, self._color)
        if self._blur:
            views = blur_some(views, found.blur_sigma, self._blur)
        if found.solarize:
            views = solarize_some(views, found.solarize_threshold, found.solarize)
        view_a, view_b = views.sub_(self.mean).div_(self.std).chunk(2)
        return view_a, view_b

    def to_pixels(self, views: Tensor) -> Tensor:
        """Undo the normalization: return a view as an image, (B, C, H, W) uint8."""
        return ((views * self.std + self.mean) * 255).round().clamp(0, 255).to(torch.uint8)

    def _crop(self, images: Tensor, aspect_N: Tensor | None) -> Tensor:
        found, count = self.parameters_of_views, len(images)
        angle, x, y, flip = torch.rand(4, count, device=images.device)
        width, height = _crop_sizes(found, count, images.device, aspect_N)
        # coordinates go from -1 to 1, so a side is 2 long
        center_x = (2 * x - 1) * (1 - width + 2 * found.shift)
        center_y = (2 * y - 1) * (1 - height + 2 * found.shift)
        if found.flip:
            width = torch.where(flip < found.flip, -width, width)
        angle = (2 * angle - 1) * found.rotation
        cos, sin = angle.cos(), angle.sin()
        # rows of the map from the view's coordinates to the image's, both in -1 to 1
        wide, high = (width, height) if aspect_N is None else (width * aspect_N, height / aspect_N)
        rows = [width * cos, -high * sin, center_x, wide * sin, height * cos, center_y]
        theta = torch.stack(rows, dim=1).view(count, 2, 3)
        shape = [count, images.shape[1], self.image_size, self.image_size]
        grid = functional.affine_grid(theta, shape, align_corners=False)
        return functional.grid_sample(
            images, grid, mode="bilinear", padding_mode=found.padding, align_corners=False
        )


class GlyphViews(TwoViews):
    """`data.views: glyph`.

    A flipped 2 is not a 2, and half of a 9 looks like a 0: so the crops are mild and nothing is
    flipped. The area outside of the image is background.
    """

    recipe = RECIPES["glyph"]


class GrayViews(TwoViews):
    """`data.views: grey`."""

    recipe = RECIPES["grey"]


class ColorViews(TwoViews):
    """`data.views: colour`.

    Source: MoCo v2, arXiv 2003.04297, and the published recipe.
    """

    recipe = RECIPES["colour"]


def require_color(parameters: ViewParameters, channels: int) -> None:
    """Refuse changes of color for images that have none.

    Raises:
        ConfigError: names the parameter.
    """
    asked = [name for name in OF_COLOR if getattr(parameters, name)]
    if channels == 1 and asked:
        raise ConfigError(
            f"data.views.{asked[0]} is {getattr(parameters, asked[0]):g}, but the images are gray: "
            "it must be 0."
        )


def _crop_sizes(
    recipe: ViewParameters, count: int, device: torch.device, aspect_N: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Widths and heights (N,) of random crops, as shares of a side, at most 1.

    A crop that does not fit is drawn again, as in torchvision's RandomResizedCrop: clipping it
    would make one crop in six larger than it should be. All tries are drawn at once, so that no
    value is read from the device.

    Args:
        aspect_N: width over height of the images (N,); None: squares.
    """
    area_TN, aspect_TN = torch.rand(2, CROP_TRIES, count, device=device)
    area_TN = recipe.area[0] + area_TN * (recipe.area[1] - recipe.area[0])
    low, high = math.log(recipe.aspect[0]), math.log(recipe.aspect[1])
    aspect_TN = (low + aspect_TN * (high - low)).exp()
    if aspect_N is not None:
        aspect_TN = aspect_TN / aspect_N  # in shares of the sides
    width_TN, height_TN = (area_TN * aspect_TN).sqrt(), (area_TN / aspect_TN).sqrt()
    fits_TN = (width_TN <= 1) & (height_TN <= 1)
    first_1N = fits_TN.to(torch.uint8).argmax(dim=0, keepdim=True)
    width_N, height_N = (sizes.gather(0, first_1N)[0] for sizes in (width_TN, height_TN))
    if aspect_N is not None:
        # as torchvision, where no try fits: as much of the image as the ratio allows
        ratio_N = aspect_N.clamp(*recipe.aspect) / aspect_N
        fits_N = fits_TN.any(dim=0)
        width_N = torch.where(fits_N, width_N, ratio_N)
        height_N = torch.where(fits_N, height_N, 1 / ratio_N)
    return width_N.clamp(max=1), height_N.clamp(max=1)
