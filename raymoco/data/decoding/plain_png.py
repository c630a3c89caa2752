"""Small PNGs in the simplest form that there is, which takes a fourth of the time to decode.

Sources of arrays (digits, Fashion-MNIST, CIFAR) are stored so. Any program reads them; they are no
larger than others, because choosing a filter for each row pays only in larger images.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from raymoco.data.decoding.containers import PNG_START

Pixels = NDArray[np.uint8]
MOST_BYTES = 2**14  # of pixels: 64 x 64 in color
HEADER = struct.Struct(">8sL4sLLBBBBBL")  # the start, and the whole chunk IHDR
CHUNK = struct.Struct(">L4s")
CHANNELS = {0: 1, 2: 3}  # by PNG's color types gray and RGB
FRAME = HEADER.size + CHUNK.size + 4 + CHUNK.size + 4  # bytes around the compressed rows


def encode_plain(pixels: Pixels) -> bytes:
    """PNG bytes of an image (H, W) or (H, W, 3), uint8: one chunk of rows without a filter."""
    height, width = pixels.shape[:2]
    color = 0 if pixels.ndim == 2 else 2
    rows = np.zeros((height, 1 + width * CHANNELS[color]), np.uint8)  # each begins with its filter
    rows[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">LLBBBBB", width, height, 8, color, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return PNG_START + b"".join(
        CHUNK.pack(len(data), name) + data + struct.pack(">L", zlib.crc32(name + data))
        for name, data in chunks
    )


def plain_pixels(encoded: bytes) -> Pixels | None:
    """Decode what `encode_plain` makes; None for any other PNG, and for a damaged one."""
    if len(encoded) < FRAME:
        return None
    start, _, _, width, height, depth, color, *others, check = HEADER.unpack_from(encoded)
    packed, name = CHUNK.unpack_from(encoded, HEADER.size)
    channels = CHANNELS.get(color, 0)
    line = 1 + width * channels
    size = height * line
    if (
        start != PNG_START
        or depth != 8
        or not channels
        or any(others)
        or name != b"IDAT"
        or len(encoded) != FRAME + packed
        or size > MOST_BYTES + height
        or zlib.crc32(encoded[12 : HEADER.size - 4]) != check
    ):
        return None
    first = HEADER.size + CHUNK.size
    try:
        found = zlib.decompress(encoded[first : first + packed], bufsize=size)
    except zlib.error:
        return None
    if len(found) != size:
        return None
    rows = np.frombuffer(found, np.uint8).reshape(height, line)
    if rows[:, 0].any():
        return None
    pixels = rows[:, 1:].copy()
    return pixels if channels == 1 else pixels.reshape(height, width, channels)
