"""Encoded images to arrays and back."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from raymoco.data.account import Kind
from raymoco.errors import DataError

Pixels = NDArray[np.uint8]
STORED_FORMATS = ("PNG", "JPEG")
JPEG_QUALITY = 90
# Pillow raises these for bytes that are not an image, truncated, corrupt, or a decompression bomb
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclass(frozen=True)
class Decoded:
    """A decoded image: pixels (C, H, W) with C 1 or 3, and the format that it was encoded in.

    `remarks` says how the image differs from what was stored, each a kind and a reason.
    """

    pixels: Pixels
    format: str
    remarks: tuple[tuple[Kind, str], ...] = ()


@dataclass(frozen=True)
class Stored:
    """What a shard stores of an image (PNG or JPEG), its pixels (C, H, W), and remarks on it."""

    encoded: bytes
    pixels: Pixels
    remarks: tuple[tuple[Kind, str], ...] = ()


def encode_png(pixels: Pixels) -> bytes:
    """PNG bytes of an image.

    Args:
        pixels: (H, W) gray or (H, W, 3) color, uint8.
    """
    stream = io.BytesIO()
    # level 1 is three times as fast as the default, and small images hardly get larger
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def decode(encoded: bytes) -> Decoded:
    """Decode an image, rotated as its EXIF says; gray as one channel, anything else as RGB.

    Raises:
        DataError: the bytes are not an image, or only the beginning of one.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as opened:
            kind = opened.format or ""
            remarks = _remarks(opened)
            image = _plain_mode(_upright(opened))
            return Decoded(_to_chw(image), kind, remarks)
    except BROKEN as error:
        raise DataError(f"not a whole image: {error}") from None


def stored_form(found: bytes | Pixels, size: int | None) -> Stored:
    """Return what a shard stores of an image.

    Args:
        found: encoded, or pixels (H, W) or (H, W, 3) uint8.
        size: an image whose short side is longer, in pixels, is resized to it; None: images that
            are PNG or JPEG already are not encoded again.
    Raises:
        DataError: the bytes are not an image, or only the beginning of one. What stands before the
            first colon of its message is the reason by which corrupt images are counted.
    """
    if isinstance(found, np.ndarray):
        if size is None or min(found.shape[:2]) <= size:
            return Stored(encode_png(found), _to_chw(found))
        found = encode_png(found)
    decoded = decode(found)
    pixels = decoded.pixels
    if size is None or min(pixels.shape[1:]) <= size:
        encoded = found if decoded.format in STORED_FORMATS else encode_png(_to_hwc(pixels))
        return Stored(encoded, pixels, decoded.remarks)
    height, width = pixels.shape[1:]
    scale = size / min(height, width)
    shape = (max(size, round(width * scale)), max(size, round(height * scale)))
    image = Image.fromarray(_to_hwc(pixels)).resize(shape, Image.Resampling.BICUBIC)
    small = _to_chw(np.asarray(image))
    if decoded.format != "JPEG":
        return Stored(encode_png(_to_hwc(small)), small, decoded.remarks)
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=JPEG_QUALITY)
    return Stored(stream.getvalue(), small, decoded.remarks)


def decode_to(encoded: bytes, channels: int, image_size: int) -> Pixels:
    """Decode to (channels, image_size, image_size): resize the short side, crop the center.

    Raises:
        DataError: the bytes are not an image, or only the beginning of one.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as opened:
            if min(opened.size) > 2 * image_size:
                opened.draft(None, (image_size, image_size))  # JPEG: decode at 1/2, 1/4 or 1/8
            image = _plain_mode(_upright(opened))
            image = image.convert("L" if channels == 1 else "RGB")
            return _to_chw(_square(image, image_size))
    except BROKEN as error:
        raise DataError(f"not a whole image: {error}") from None


def _upright(image: Image.Image) -> Image.Image:
    # reading a PNG's EXIF doubles the time for a small image, and cameras write JPEG
    return image if image.format == "PNG" else ImageOps.exif_transpose(image)


def _plain_mode(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        # convert("L") would clip 16 bits at 255
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")


def _remarks(image: Image.Image) -> tuple[tuple[Kind, str], ...]:
    found: list[tuple[Kind, str]] = []
    if "A" in image.getbands() or "transparency" in image.info:
        found.append(("changed", "may be transparent: the colors below that are used as they are"))
    if image.mode.startswith("I"):
        found.append(("changed", "have more than 8 bits: the upper 8 of 16 are used"))
    if image.mode == "F":
        found.append(("changed", "have numbers for pixels: these are cut to 0 to 255"))
    return tuple(found)


def _square(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    if (width, height) == (size, size):
        return image
    scale = size / min(width, height)
    wide, high = max(size, round(width * scale)), max(size, round(height * scale))
    left, top = (wide - size) // 2, (high - size) // 2
    resized = image.resize((wide, high), Image.Resampling.BICUBIC)
    return resized.crop((left, top, left + size, top + size))


def _to_chw(image: Image.Image | Pixels) -> Pixels:
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _to_hwc(pixels: Pixels) -> Pixels:
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
