"""Build the views that `data.views` names: one of raymoco's or `package.module:Name`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from raymoco.choices import VIEWS
from raymoco.config.views import (
    AUTO,
    RECIPE,
    RECIPES,
    given_parameters,
    is_ours,
    views_name,
    with_parameters,
    written_out,
)
from raymoco.data.views.two_views import require_color
from raymoco.errors import ConfigError
from raymoco.registry import NAME, name_of


class Views(Protocol):
    """Makes two random views of each image of a batch, on the batch's device.

    raymoco constructs the class with `(channels, image_size, mean, std)`: 1 or 3, the side in
    pixels, and a value per channel in 0-1; and with `options=` if it has a pydantic model
    `Options`. An `nn.Module` is moved to the device once. All random numbers come from torch's
    global generator of the device. No value is read back from the device, so that a step never
    waits. With `data.view_size` the images are canvases, see raymoco/data/views/whole.py; only a
    class with `takes_whole = True` is given those.
    """

    def __init__(
        self, channels: int, image_size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None: ...

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) uint8 to two tensors (B, C, image_size, image_size) float32, normalized.

        The normalization is that of evaluation: `(pixels / 255 - mean) / std`.
        """

    def to_pixels(self, views: Tensor) -> Tensor:
        """Undo the normalization: return a view as an image, (B, C, H, W) uint8."""


def resolve_views(
    views: str | Mapping[str, Any], source: str | Mapping[str, Any], channels: int
) -> str | Mapping[str, Any]:
    """Return `views`; for `auto` the recipe that suits the source.

    Parameters beside a recipe are written out together with the recipe's own.

    Args:
        views: as in `data.views`.
        source: as in `data.source`.
        channels: of the images, 1 or 3.
    Raises:
        ConfigError: no such views, they do not keep the Protocol, an option is wrong, or they
            change colors of images that have none.
    """
    require_views(views)
    if not is_ours(views):
        return views
    name, given = views_name(views), given_parameters(views)
    if name == AUTO:
        colored = "colour" if channels == 3 else "grey"
        name = "glyph" if name_of(source) == "digits" else colored
    elif name == "colour" and channels == 1 and not given:
        raise ConfigError("data.views is colour, but the images are gray; use grey or auto.")
    if not given:
        return name
    written = written_out({RECIPE: name, **given})
    # a null means that it depends on the size of the views
    found = {key: value for key, value in written.items() if value is not None}
    require_color(with_parameters(RECIPES[name], given), channels)
    return found


def require_views(views: str | Mapping[str, Any], *, whole: bool = False) -> None:
    """Refuse views that cannot be constructed, whatever the images are.

    Args:
        whole: they are cut from whole photographs, because `data.view_size` is set.
    Raises:
        ConfigError: see `resolve_views`; or they do not take whole photographs.
    """
    if views_name(views) in VIEWS.others:
        return
    named = _named(views)
    found = VIEWS.load(named)
    VIEWS.options(named, found)
    if whole and not getattr(found, "takes_whole", False):
        raise ConfigError(
            f"data.view_size is set, but data.views is {views_name(views)}, which cuts its views "
            "from squares: data.view_size must be null. (Classes derived from TwoViews, or with "
            "takes_whole = True, get whole images.)"
        )


def build_views(
    views: str | Mapping[str, Any],
    *,
    channels: int,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | None = None,
) -> Views:
    """Build the views that a config names.

    Args:
        views: as `resolve_views` returned it.
        channels: 1 or 3.
        image_size: side of the views in pixels; usually that of the images.
        mean: per channel, in 0-1.
        std: per channel, in 0-1.
        device: the device of the batches; None: the CPU.
    Raises:
        ConfigError: see `resolve_views`.
    """
    built: Views = VIEWS.make(_named(views), channels, image_size, mean, std)
    if isinstance(built, nn.Module) and device is not None:
        built.to(device)
    return built


def _named(views: str | Mapping[str, Any]) -> dict[str, Any]:
    """The views in the form that a registry reads."""
    return {NAME: views_name(views), **given_parameters(views)}
