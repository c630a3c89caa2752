"""Images of more than 8 bits a sample, and the range of values that becomes 0 to 255.

Cameras and instruments write 10 to 14 bits into files of 16, and floats of any scale: an image
alone does not say which value is white. So the range is found over the whole data set, or given.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from raymoco.errors import DataError

Range = tuple[float, float]
WHITE_IS_ZERO = 0
PHOTOMETRIC, SAMPLE_FORMAT = 262, 339
UNSIGNED = 1
OWN, OTHER = ("L", "B") if sys.byteorder == "little" else ("B", "L")


@dataclass(frozen=True)
class Span:
    """The least and the greatest value of an image, and whether its values are floats."""

    low: float
    high: float
    floats: bool


@dataclass(frozen=True, eq=False)
class Deep:
    """Samples of an image of more than 8 bits.

    `values` are (H, W) or (H, W, 3), `alpha` (H, W) in 0-1 or None; `white_is_zero`: the greatest
    value is black.
    """

    values: NDArray[Any]
    alpha: NDArray[np.float64] | None
    white_is_zero: bool

    @property
    def span(self) -> Span:
        """The range of the finite values.

        Raises:
            DataError: there are none.
        """
        floats = self.values.dtype.kind == "f"
        finite = self.values[np.isfinite(self.values)] if floats else self.values
        if not finite.size:
            raise DataError("not a whole image: it holds no finite number")
        return Span(float(finite.min()), float(finite.max()), floats)

    def scaled(self, value_range: Range | None) -> Image.Image:
        """The image with the range as 0 to 255, of mode L, RGB, LA or RGBA.

        Values beyond it are cut off; what is no number becomes the lowest.

        Args:
            value_range: None: 16 bits, or for floats 0 to 1.
        """
        if value_range is None and self.values.dtype.kind != "f":
            levels = (np.clip(self.values, 0, 65535).astype(np.uint16) >> 8).astype(np.uint8)
        else:
            low, high = value_range or (0.0, 1.0)
            shares = (self.values.astype(np.float64) - low) / (high - low)
            levels = np.rint(255 * np.nan_to_num(np.clip(shares, 0, 1), nan=0.0)).astype(np.uint8)
        image = Image.fromarray(255 - levels if self.white_is_zero else levels)
        if self.alpha is not None:
            image.putalpha(Image.fromarray(np.rint(255 * self.alpha).astype(np.uint8)))
        return image


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether an image that is not loaded yet has samples of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16") or ";16" in _raw_mode(image)


def read_deep(image: ImageFile.ImageFile, again: ImageFile.ImageFile) -> Deep:
    """Read all bits of an image, of which Pillow's modes of several channels have only 8.

    Args:
        image: not loaded yet.
        again: the same, opened once more.
    """
    tags = getattr(image, "tag_v2", {})
    key = image.info.get("transparency")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if image.mode == "I" and tags and tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0] == UNSIGNED:
            values = values.view(np.uint32)  # Pillow has no such mode
        alpha = None if key is None else (values != key).astype(np.float64)
        white_is_zero = image.mode.startswith("I;16") and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
        return Deep(values, alpha, white_is_zero)
    raw = _raw_mode(image)
    if raw.startswith("LA;16"):
        _read_as(image, "RGBA")  # high and low byte of gray, high and low byte of alpha
        parts = np.asarray(image).astype(np.uint16)
        values, opacity = parts[..., 0] << 8 | parts[..., 1], parts[..., 2] << 8 | parts[..., 3]
        return Deep(values, opacity / 65535, False)
    # the name of a raw mode says which of the two bytes is the high one: read once each
    plain = raw.replace("RGBa", "RGBA")[:-1]
    order = raw[-1].replace("N", OWN)
    _read_as(image, plain + order)
    _read_as(again, plain + ("B" if order == "L" else "L"))
    values = np.asarray(image).astype(np.uint16) << 8 | np.asarray(again)
    alpha = None
    if values.shape[-1] == 4:
        values, opacity = values[..., :3], values[..., 3]
        alpha = opacity / 65535
        if raw.startswith("RGBa"):  # premultiplied
            part = values.astype(np.float64) / np.maximum(alpha, 1 / 65535)[..., None]
            values = np.minimum(np.rint(part), 65535).astype(np.uint16)
    elif isinstance(key, tuple):
        alpha = (values != np.array(key)).any(axis=-1).astype(np.float64)
    return Deep(values, alpha, False)


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """How the first tile of an image is packed, in Pillow's words; empty if it does not say."""
    arguments = image.tile[0].args if image.tile else None
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _read_as(image: ImageFile.ImageFile, raw_mode: str) -> None:
    """Have an image that is not loaded yet unpacked in another way."""
    tiles = []
    for tile in image.tile:
        arguments = raw_mode
        if isinstance(tile.args, tuple):
            arguments = cast(Any, (raw_mode, *tile.args[1:]))
        tiles.append(tile._replace(args=arguments))
    image.tile = tiles
