"""Encoded images to arrays and back."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raymoco.data.decoding.containers import JPEG_START, first_jpeg
from raymoco.data.decoding.deep import Range, Span
from raymoco.data.decoding.fast_jpeg import jpeg_pixels
from raymoco.data.decoding.opening import STORED_FORMATS, opened_image, read_mended
from raymoco.data.decoding.plain_png import MOST_BYTES, encode_plain, plain_pixels
from raymoco.data.decoding.resizing import center_square
from raymoco.data.decoding.upright import Reason, upright

Pixels = NDArray[np.uint8]
JPEG_QUALITY = 90
HUGE_PIXELS = 2**26  # a JPEG beyond it is read at a half to an eighth, where that is enough
HUGE: Reason = ("understood", f"have more than {HUGE_PIXELS // 10**6} million pixels")
FRAMES: Reason = ("changed", "hold several frames or pages, of which the first is used")
MADE_GRAY: Reason = ("changed", "are in color and were made gray, as the encoder takes one channel")
AFTER_THE_END: Reason = (
    "understood",
    "hold more after the image (a preview, a gain map, a video), which is not stored",
)


@dataclass(frozen=True)
class Decoded:
    """A decoded image.

    Attributes:
        pixels: (C, H, W) with C 1 or 3.
        format: that it was encoded in, in Pillow's words; MPO counts as JPEG.
        encoded: the bytes that were read: without what follows the image, and mended if needed.
        remarks: kind and reason of each remark.
        span: the range of its values, if they have more than 8 bits.
        shape: height and width; those of `pixels`, but for huge images.
    """

    pixels: Pixels
    format: str
    encoded: bytes
    remarks: tuple[Reason, ...]
    span: Span | None
    shape: tuple[int, int]


@dataclass(frozen=True)
class Stored:
    """What a shard stores of an image: PNG or JPEG bytes; the rest as in `Decoded`."""

    encoded: bytes
    pixels: Pixels
    shape: tuple[int, int]
    remarks: tuple[Reason, ...] = ()
    span: Span | None = None


def encode_png(pixels: Pixels) -> bytes:
    """PNG bytes of an image.

    Args:
        pixels: (H, W) gray or (H, W, 3) color, uint8.
    """
    if pixels.size <= MOST_BYTES:
        return encode_plain(pixels)
    stream = io.BytesIO()
    # level 1 is three times as fast as the default, and small images hardly get larger
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def decode(
    encoded: bytes,
    *,
    background: str = "white",
    value_range: Range | None = None,
    least: int | None = None,
) -> Decoded:
    """Decode an image, turned as its EXIF says; gray as one channel, anything else as RGB.

    ICC profiles are ignored, as torchvision ignores them, and metadata may be broken.

    Args:
        background: the color behind transparent parts, a CSS name or #rrggbb.
        value_range: the values that become 0 and 255 in images of more than 8 bits; None: all of
            16 bits, or for floats 0 to 1.
        least: a huge JPEG may be read smaller, but not below twice this short side, in pixels.
    Raises:
        DataError: the bytes are not an image, only the beginning of one, or one of more than 2^29
            pixels.
    """

    def read(some: bytes) -> Decoded:
        return _decoded(some, background, value_range, least)

    first = first_jpeg(encoded) if encoded.startswith(JPEG_START) else encoded
    if first is not encoded:
        found = read_mended(first, read)
        return replace(found, remarks=(AFTER_THE_END, *found.remarks))
    return read_mended(encoded, read)


def decode_file(
    found: bytes | Pixels,
    channels: int,
    image_size: int,
    *,
    size: int | None = None,
    background: str = "white",
    value_range: Range | None = None,
) -> tuple[Pixels, tuple[Reason, ...]]:
    """Decode an image that is in no shard to the pixels that it would have from one.

    Args:
        found: encoded, or pixels (H, W) or (H, W, 3) uint8.
        size, background, value_range: see `stored_form`.
    Returns:
        (channels, image_size, image_size), and remarks.
    Raises:
        DataError: as `decode`.
    """
    out = np.empty((channels, image_size, image_size), np.uint8)
    if size is None and isinstance(found, bytes) and found.startswith(JPEG_START):
        plain = jpeg_pixels(found, image_size)  # such bytes are stored as they are
        if plain is not None and (plain.ndim == 2 or channels == 3):
            center_square(plain, image_size, out)
            return out, ()
    stored = stored_form(found, size, background=background, value_range=value_range)
    remarks = stored.remarks
    if channels < len(stored.pixels):
        remarks = (*remarks, MADE_GRAY)
    return decode_to(stored.encoded, channels, image_size, out), remarks


def decode_about(encoded: bytes, size: int) -> Pixels:
    """Decode a stored image, a large JPEG at a half to an eighth, but not below `size` pixels.

    Returns:
        (C, H, W), uint8, C 1 or 3.
    Raises:
        DataError: as `decode`.
    """
    fast = jpeg_pixels(encoded, size) if encoded.startswith(JPEG_START) else None
    return decode(encoded).pixels if fast is None else _to_chw(fast)


def stored_form(
    found: bytes | Pixels,
    size: int | None,
    *,
    background: str = "white",
    value_range: Range | None = None,
) -> Stored:
    """Return what a shard stores of an image, and what there is to say about it.

    A PNG or JPEG stays as it is unless its pixels change: by a smaller size, by transparent parts
    that are filled, by a range of values, or as the first of several frames.

    Args:
        found: encoded, or pixels (H, W) or (H, W, 3) uint8.
        size: an image whose short side is longer, in pixels, is resized to it; None: images that
            are PNG or JPEG already are not encoded again.
        background: see `decode`.
        value_range: see `decode`.
    Raises:
        DataError: as `decode`.
    """
    if isinstance(found, np.ndarray):
        height, width = found.shape[:2]
        if size is None or min(height, width) <= size:
            return Stored(encode_png(found), _to_chw(found), (height, width))
        found = encode_png(found)
    decoded = decode(found, background=background, value_range=value_range, least=size or 1)
    pixels, (height, width) = decoded.pixels, decoded.shape
    remarks, span = decoded.remarks, decoded.span
    if size is None or min(height, width) <= size:
        changed = any(kind == "changed" for kind, _ in remarks)
        if changed or decoded.format not in STORED_FORMATS:
            encoded = encode_png(_to_hwc(pixels))
        else:
            encoded = decoded.encoded
        return Stored(encoded, pixels, (height, width), remarks, span)
    scale = size / min(height, width)
    shape = (max(size, round(width * scale)), max(size, round(height * scale)))
    image = Image.fromarray(_to_hwc(pixels)).resize(shape, Image.Resampling.BICUBIC)
    small = _to_chw(np.asarray(image))
    if decoded.format != "JPEG":
        return Stored(encode_png(_to_hwc(small)), small, shape[::-1], remarks, span)
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=JPEG_QUALITY)
    return Stored(stream.getvalue(), small, shape[::-1], remarks, span)


def decode_to(encoded: bytes, channels: int, image_size: int, out: Pixels | None = None) -> Pixels:
    """Decode to (channels, image_size, image_size): resize the short side, crop the center.

    Args:
        out: where the pixels go; None: a new array.
    Raises:
        DataError: the bytes are not an image, or only the beginning of one.
    """

    found = np.empty((channels, image_size, image_size), np.uint8) if out is None else out
    if encoded.startswith(JPEG_START):
        pixels = jpeg_pixels(encoded, image_size)
    else:
        pixels = plain_pixels(encoded) if len(encoded) <= 2 * MOST_BYTES else None
    if pixels is not None and (pixels.ndim == 2 or channels == 3):
        center_square(pixels, image_size, found)
        return found

    def read(some: bytes) -> Pixels:
        with opened_image(some) as opened:
            if min(opened.size) > 2 * image_size:
                opened.draft(None, (image_size, image_size))  # JPEG: decode at 1/2, 1/4 or 1/8
            image = upright(opened, some, "white", None).image
            mode = "L" if channels == 1 else "RGB"
            image = image if image.mode == mode else image.convert(mode)
            center_square(np.array(image), image_size, found)
            return found

    return read_mended(encoded, read)


def _decoded(
    encoded: bytes, background: str, value_range: Range | None, least: int | None
) -> Decoded:
    if encoded.startswith(JPEG_START):
        fast = jpeg_pixels(encoded, most=HUGE_PIXELS)
        if fast is not None:
            return Decoded(_to_chw(fast), "JPEG", encoded, (), None, fast.shape[:2])
    with opened_image(encoded) as opened:
        remarks: tuple[Reason, ...] = ()
        width, height = opened.size
        if width * height > HUGE_PIXELS:
            remarks = (HUGE,)
            if least is not None:
                opened.draft(None, (2 * least, 2 * least))
        if opened.format != "PSD" and getattr(opened, "is_animated", False):
            remarks = (*remarks, FRAMES)
        read_width = opened.width
        found = upright(opened, encoded, background, value_range)
        turned = found.image.width != read_width
        shape = (width, height) if turned else (height, width)
        pixels, kind = _to_chw(found.image), opened.format or ""
        return Decoded(pixels, kind, encoded, (*remarks, *found.remarks), found.span, shape)


def _to_chw(image: Image.Image | Pixels) -> Pixels:
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _to_hwc(pixels: Pixels) -> Pixels:
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
