"""Files of 16 bits a sample in several channels, which Pillow reads but cannot write."""

import struct
import zlib

import numpy as np

COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def png_of_16_bits(pixels):
    """A PNG of (H, W, C) uint16, C from 1 to 4, with a filter of each kind."""
    high, wide, channels = pixels.shape
    lines = pixels.astype(">u2").reshape(high, -1).view(np.uint8).reshape(high, -1).astype(int)
    step, packed = 2 * channels, bytearray()
    for y, line in enumerate(lines):
        left = np.concatenate([np.zeros(step, int), line[:-step]])
        up = lines[y - 1] if y else np.zeros_like(line)
        kind = y % 4
        guess = (0, left, up, (left + up) // 2)[kind]
        packed += bytes([kind]) + ((line - guess) % 256).astype(np.uint8).tobytes()
    head = struct.pack(">IIBBBBB", wide, high, 16, COLOR_TYPES[channels], 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(packed))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def tiff_of_16_bits(pixels, extra=None, big_endian=False):
    """An uncompressed TIFF of (H, W, 3 or 4) uint16; `extra` says what the fourth channel is."""
    order, sign = (">", b"MM\0*") if big_endian else ("<", b"II*\0")
    high, wide, channels = pixels.shape
    data = pixels.astype(f"{order}u2").tobytes()
    bits_at, data_at = 200, 220
    entries = [
        (256, 4, 1, wide), (257, 4, 1, high), (258, 3, channels, bits_at), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, data_at), (277, 3, 1, channels), (278, 4, 1, high),
        (279, 4, 1, len(data)),
    ]  # fmt: skip
    entries += [(338, 3, 1, extra)] if extra is not None else []
    found = sign + struct.pack(f"{order}LH", 8, len(entries))
    for tag, kind, count, value in entries:
        short = kind == 3 and count == 1
        found += struct.pack(f"{order}HHL", tag, kind, count)
        found += struct.pack(f"{order}H2x" if short else f"{order}L", value)
    found += struct.pack(f"{order}L", 0)
    found = found.ljust(bits_at, b"\0") + struct.pack(f"{order}{channels}H", *[16] * channels)
    return found.ljust(data_at, b"\0") + data
