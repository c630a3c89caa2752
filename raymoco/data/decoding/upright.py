"""Any image as viewers show it: upright, opaque, in 8 bits; of mode L or RGB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor, ImageFile

from raymoco.data.account import Kind
from raymoco.data.decoding.containers import may_be_turned, orientation
from raymoco.data.decoding.deep import Deep, Range, Span, is_deep, read_deep
from raymoco.data.decoding.opening import opened_image

Reason = tuple[Kind, str]
NOT_FINITE: Reason = ("changed", "hold NaN or infinite values; NaN is read as the lowest value")
BEYOND: Reason = ("changed", "have values beyond data.value_range, which are cut off there")
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Upright:
    """An image of mode L or RGB; what was changed; its range of values, if that has over 8 bits."""

    image: Image.Image
    remarks: tuple[Reason, ...] = ()
    span: Span | None = None


def upright(
    opened: ImageFile.ImageFile, encoded: bytes, background: str, value_range: Range | None
) -> Upright:
    """Read an opened image as viewers show it.

    Args:
        opened: not loaded yet, from `encoded`.
        background: see `decode`.
        value_range: see `decode`.
    Raises:
        DataError: it holds no finite number.
        BROKEN: it cannot be read.
    """
    image: Image.Image = opened
    remarks: tuple[Reason, ...] = ()
    span = None
    if is_deep(opened):
        with opened_image(encoded) as again:
            deep = read_deep(opened, again)
        span, image = deep.span, deep.scaled(value_range)
        image.info = {name: opened.info[name] for name in ("exif", "xmp") if name in opened.info}
        remarks = _remarks_on(deep, span, value_range)
    else:
        image.load()
    # Pillow turns TIFF by itself
    if opened.format != "TIFF" and may_be_turned(encoded, opened.info):
        method = TURNED.get(orientation(opened.info))
        image = image if method is None else image.transpose(method)
    if image.mode not in ("L", "RGB") or "transparency" in image.info:
        image, filled = _opaque(image, background)
        if filled:
            remarks = (*remarks, ("changed", f"had transparent parts, filled with {background}"))
    return Upright(image, remarks, span)


def _opaque(image: Image.Image, background: str) -> tuple[Image.Image, bool]:
    """The image of mode L or RGB, and whether the background shows in it."""
    gray = image.mode in ("1", "L", "LA", "La")
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        # not by way of mode P: its transparent entries have colors of their own
        clear = image.convert("LA" if gray else "RGBA")
        alpha = clear.getchannel("A")
        image = clear.convert("L" if gray else "RGB")
        least = alpha.getextrema()[0]
        if isinstance(least, (int, float)) and least < 255:
            red, green, blue = ImageColor.getrgb(background)[:3]
            if not red == green == blue:
                image = image.convert("RGB")
            color = red if image.mode == "L" else (red, green, blue)
            return Image.composite(image, Image.new(image.mode, image.size, color), alpha), True
        return image, False
    mode = "L" if gray else "RGB"
    return (image if image.mode == mode else image.convert(mode)), False


def _remarks_on(deep: Deep, span: Span, value_range: Range | None) -> tuple[Reason, ...]:
    if value_range is None:
        found: list[Reason] = [("changed", "have more than 8 bits, of which the upper 8 are used")]
    else:
        low, high = value_range
        words = f"have more than 8 bits: their values {low:g} to {high:g} become 0 to 255"
        found = [("changed", words)]
        if span.low < low or span.high > high:
            found.append(BEYOND)
    if span.floats and not np.isfinite(deep.values).all():
        found.append(NOT_FINITE)
    return tuple(found)
