"""Color jitter and blur of a batch, with separate random numbers for each image.

Brightness, contrast, saturation, hue and the conversion to gray are linear in the pixels: together
they are one 3x3 matrix and one offset per image, so the pixels are read once instead of five times.
A Gaussian blur is one convolution along rows and one along columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright red, green and blue look
# chroma of the YIQ color space beside the luma above
IN_PHASE = (0.595716, -0.274453, -0.321263)
QUADRATURE = (0.211456, -0.522591, 0.311135)
# rows Y, I, Q; and the inverse, computed once: inverting in every step would wait for the device
TO_YIQ = torch.tensor([LUMA, IN_PHASE, QUADRATURE], dtype=torch.float64)
FROM_YIQ = torch.linalg.inv(TO_YIQ)

LEAST_RADIUS = 6  # px, of a blur: three of the standard deviation of 2 that papers use


@dataclass(frozen=True)
class ColorJitter:
    """How strongly colors are changed, and how often.

    Brightness, contrast and saturation are factors 1 +- x; hue is +- x of a whole turn.
    `probability` is that of any change of color, `gray` that of a conversion to gray.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float
    probability: float
    gray: float


def jitter_color(images: Tensor, jitter: ColorJitter) -> Tensor:
    """Change the colors of each image at random.

    Args:
        images: (N, 3, H, W) in 0-1.
    Returns:
        (N, 3, H, W), clamped to 0-1.
    Source: the MoCo v2 recipe, arXiv:2003.04297. Deviation: always in the order brightness,
        contrast, saturation, hue, clamped once at the end; hue turns the chroma of YIQ, which is
        linear, and not the angle of HSV.
    """
    draws = torch.rand(6, len(images), device=images.device)
    strengths = (jitter.brightness, jitter.contrast, jitter.saturation)
    factors = [1 + (2 * draw - 1) * by for draw, by in zip(draws, strengths, strict=False)]
    turn = (2 * draws[3] - 1) * jitter.hue
    # the other images keep their colors: factors of 1 and no turn
    some = draws[4] < jitter.probability
    factors = [torch.where(some, factor, 1.0) for factor in factors]
    turn = torch.where(some, turn, 0.0)
    saturation = torch.where(draws[5] < jitter.gray, 0.0, factors[2])
    return twist_color(images, factors[0], factors[1], saturation, turn)


def twist_color(
    images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, turn: Tensor
) -> Tensor:
    """Change brightness, contrast about the image's mean gray, saturation, then hue.

    Args:
        images: (N, 3, H, W) in 0-1.
        brightness: factors (N,), as are contrast and saturation; saturation 0 is gray.
        turn: of the hue (N,), in whole turns.
    Returns:
        (N, 3, H, W), clamped to 0-1.
    """
    to_yiq, from_yiq = _on(images.device, images.dtype)
    angle = 2 * math.pi * turn
    cos, sin = saturation * angle.cos(), saturation * angle.sin()
    one, none = torch.ones_like(cos), torch.zeros_like(cos)
    # in YIQ saturation scales the chroma plane and hue rotates it; red turns to yellow, as in HSV
    rows = [one, none, none, none, cos, sin, none, -sin, cos]
    chroma_N33 = torch.stack(rows, dim=1).view(-1, 3, 3)
    matrix_N33 = from_yiq @ chroma_N33 @ to_yiq
    pixels_N3P = images.flatten(2)
    mean_gray_N = pixels_N3P.mean(dim=2) @ to_yiq[0]
    # saturation and hue do not change a gray offset
    offset_N11 = ((1 - contrast) * brightness * mean_gray_N).view(-1, 1, 1)
    matrix_N33 = matrix_N33 * (brightness * contrast).view(-1, 1, 1)
    twisted = torch.baddbmm(offset_N11.expand(-1, 3, pixels_N3P.shape[2]), matrix_N33, pixels_N3P)
    return twisted.clamp_(0, 1).view_as(images)


@cache
def _on(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return TO_YIQ.to(device, dtype), FROM_YIQ.to(device, dtype)


def jitter_light(images: Tensor, brightness: float, contrast: float, probability: float) -> Tensor:
    """Scale brightness, then contrast about the image's mean, as torchvision does.

    Args:
        images: (N, C, H, W) in 0-1.
        brightness: factors 1 +- x, as is contrast.
        probability: of a change; the other images stay as they are.
    Returns:
        (N, C, H, W), clamped to 0-1.
    """
    factors = torch.rand(2, len(images), 1, 1, 1, device=images.device)
    bright = 1 + (2 * factors[0] - 1) * brightness
    strong = 1 + (2 * factors[1] - 1) * contrast
    if probability < 1:  # no draw without need: a recipe's views stay what they were
        some = torch.rand(len(images), 1, 1, 1, device=images.device) < probability
        bright, strong = (torch.where(some, factor, 1.0) for factor in (bright, strong))
    images = (images * bright).clamp_(0, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * strong + mean).clamp_(0, 1)


def solarize_some(images: Tensor, threshold: float, probability: float) -> Tensor:
    """Invert the pixels from a brightness on, in a random share of the images.

    Args:
        images: (N, C, H, W) in 0-1.
        threshold: 0-1.
        probability: of each image.
    Source: BYOL, arXiv:2006.07733, appendix B; torchvision's RandomSolarize.
    """
    some = torch.rand(len(images), 1, 1, 1, device=images.device) < probability
    return torch.where(some & (images >= threshold), 1 - images, images)


def blur_some(images: Tensor, sigma: tuple[float, float], probability: float) -> Tensor:
    """Blur a random share of the images with a Gaussian, in place.

    Args:
        images: (N, C, H, W).
        sigma: lowest and highest standard deviation, in pixels.
        probability: the share; rounded to whole images, so that no count is read from the device.
    """
    count = round(probability * len(images))
    if count:
        chosen_n = torch.randperm(len(images), device=images.device)[:count]
        sigma_n = sigma[0] + torch.rand(count, device=images.device) * (sigma[1] - sigma[0])
        radius = max(LEAST_RADIUS, math.ceil(3 * sigma[1]))
        images[chosen_n] = blur(images[chosen_n], sigma_n, radius)
    return images


def blur(images: Tensor, sigma_N: Tensor, radius: int = LEAST_RADIUS) -> Tensor:
    """Blur each image with a Gaussian; the border pixels are repeated beyond the border.

    Args:
        images: (N, C, H, W).
        sigma_N: standard deviations (N,), px, above 0.
        radius: where the kernel ends, px; three of the largest standard deviation.
    """
    count, channels, height, width = images.shape
    distance_k = torch.arange(-radius, radius + 1, device=images.device)
    kernel_Nk = torch.exp(-0.5 * (distance_k / sigma_N[:, None]).square())
    kernel_Nk = kernel_Nk / kernel_Nk.sum(dim=1, keepdim=True)
    # one group per plane, because each image has its own kernel
    kernel = kernel_Nk.to(images.dtype).repeat_interleave(channels, dim=0)[:, None, None, :]
    planes = functional.pad(images, (radius,) * 4, mode="replicate").flatten(0, 1)[None]
    planes = functional.conv2d(planes, kernel, groups=count * channels)
    planes = functional.conv2d(planes, kernel.mT, groups=count * channels)
    return planes.view(count, channels, height, width)
