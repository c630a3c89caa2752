"""Opening encoded images with Pillow: broken metadata are no broken pixels, half an image is."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from raymoco.data.decoding.containers import (
    END,
    JPEG_END,
    JPEG_START,
    PNG_START,
    bare_png,
    jpeg_segments,
    without_metadata,
)
from raymoco.errors import DataError

Result = TypeVar("Result")
STORED_FORMATS = ("PNG", "JPEG")
MOST_PIXELS = 2**29  # of an image: 2 GiB in Pillow's memory; more is taken for a trap
# Pillow's plugins raise these for bytes that are not an image, truncated or corrupt
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, MemoryError),
    *(IndexError, KeyError, TypeError, AttributeError, OverflowError, ZeroDivisionError),
    *(RuntimeError, AssertionError, Image.DecompressionBombError),
)
FILLERS = (b"\x00", b"\xaa")
_limit = threading.RLock()  # Pillow's limit is one for the process


@contextmanager
def opened_image(encoded: bytes) -> Iterator[ImageFile.ImageFile]:
    """Open an image of at most 2^29 pixels; legal pictures have more than Pillow allows.

    What Pillow says of metadata that nobody asked for is silenced meanwhile.

    Raises:
        DataError: it has more pixels.
        BROKEN: it is no image.
    """
    if encoded.startswith(JPEG_START):
        bare, info = without_metadata(encoded)
        with JpegImageFile(io.BytesIO(bare)) as image:  # this class opens no further pictures
            image.info.update(info)
            yield _checked(image)
    elif encoded.startswith(PNG_START):
        with PngImageFile(io.BytesIO(encoded)) as image:
            yield _checked(image)
    else:
        with _limit, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            allowed, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MOST_PIXELS
            try:
                with Image.open(io.BytesIO(encoded)) as image:
                    yield _checked(image)
            finally:
                Image.MAX_IMAGE_PIXELS = allowed


def _checked(image: ImageFile.ImageFile) -> ImageFile.ImageFile:
    if image.width * image.height > MOST_PIXELS:
        raise DataError(
            f"not an image that can be read: it has {image.width} x {image.height} pixels, but at "
            f"most {MOST_PIXELS // 10**6} million are read"
        )
    return image


def read_mended(encoded: bytes, read: Callable[[bytes], Result]) -> Result:
    """Read an image; if that fails, as its pixels alone, without metadata that may be broken.

    Raises:
        DataError: its pixels are broken or not all there.
    """
    try:
        return read(encoded)
    except BROKEN as error:
        reason = error
    for mended in _mended(encoded):
        try:
            return read(mended)
        except BROKEN:
            continue  # the first reason is the one to tell
    raise DataError(f"not a whole image: {reason}") from None


def _mended(encoded: bytes) -> Iterator[bytes]:
    """Bytes of the same pixels, which Pillow may read where it cannot read these."""
    if encoded.startswith(PNG_START):
        yield bare_png(encoded)
    elif encoded.startswith(JPEG_START) and _lacks_only_its_end(encoded):
        yield encoded + JPEG_END


def _lacks_only_its_end(encoded: bytes) -> bool:
    """Whether a JPEG has all its data, but no marker of its end.

    Where data are missing, what follows is decoded instead, and other bytes give other pixels.
    """
    if any(code == END for code, _, _ in jpeg_segments(encoded)):
        return False
    try:
        bare, _ = without_metadata(encoded)
        one, other = (
            np.asarray(JpegImageFile(io.BytesIO(bare + filler * 64 + JPEG_END)))
            for filler in FILLERS
        )
    except BROKEN:
        return False
    return np.array_equal(one, other)
