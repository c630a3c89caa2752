"""JPEG by libjpeg-turbo straight into an array: the same pixels as Pillow's, sooner."""

from __future__ import annotations

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from raymoco.data.decoding.containers import orientation, without_metadata
from raymoco.data.decoding.opening import MOST_PIXELS

Pixels = NDArray[np.uint8]
PLAIN = {"Gray": "GRAY", "YCbCr": "RGB", "RGB": "RGB"}  # CMYK needs Pillow's conversion
SCALES = (8, 4, 2)


def jpeg_pixels(encoded: bytes, size: int | None = None, most: int | None = None) -> Pixels | None:
    """Decode an upright gray or color JPEG without a flaw; None for any other: ask Pillow then.

    Args:
        size: where the short side is more than twice this, decode at 1/2, 1/4 or 1/8, but not
            below it; as Pillow's draft mode does.
        most: return None where the file has more pixels than this.
    Returns:
        (H, W) or (H, W, 3), uint8, writable.
    """
    if orientation(without_metadata(encoded)[1]) != 1:
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(encoded)
        if space not in PLAIN or height * width > (most or MOST_PIXELS):
            return None
        scale = 1
        if size is not None and min(height, width) > 2 * size:
            scale = next(some for some in SCALES if min(height, width) // size >= some)
        pixels: Pixels = simplejpeg.decode_jpeg(
            encoded,
            PLAIN[space],
            min_height=-(-height // scale),
            min_width=-(-width // scale),
            min_factor=scale,
        )
    except ValueError:
        return None  # a warning of libjpeg at least: Pillow decides whether it is corrupt
    return pixels[..., 0] if space == "Gray" else pixels
