"""The bytes around the pixels of a JPEG or PNG: its end, its orientation, what can be cut away."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_START = b"\x89PNG\r\n\x1a\n"
# not a stuffed 0xFF of compressed data, not a restart of it
MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
NO_LENGTH = (0x01, 0xD8)
END, SCAN, COMMENT = 0xD9, 0xDA, 0xFE
APP1, APP2, APP14, APP15 = 0xE1, 0xE2, 0xEE, 0xEF
METADATA = {"exif": b"Exif\0\0", "xmp": b"http://ns.adobe.com/xap/1.0/\0"}
PADDING = b"\0\r\n\t "
ORIENTATION = 0x0112
SHORT = 3
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
KEPT_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def jpeg_segments(encoded: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield code, start and end of each marker of the first image; compressed data is between them.

    The last one is the end of the image, if that is there.
    """
    place = len(JPEG_START)
    while found := MARKER.search(encoded, place):
        code, start, place = found[1][0], found.start(), found.end()
        if code not in NO_LENGTH and code != END:
            place += int.from_bytes(encoded[place : place + 2], "big")
        yield code, start, place
        if code == END:
            return


def first_jpeg(encoded: bytes) -> bytes:
    """The first image of a JPEG that goes on after its end: with a preview, gain map or video.

    Cameras and phones write such files (MPO, Ultra HDR, motion photos); the index of the other
    pictures is cut away with them. Any other JPEG is returned as it is.
    """
    index: list[tuple[int, int]] = []
    end = 0
    for code, start, stop in jpeg_segments(encoded):
        if code == APP2 and encoded.startswith(b"MPF\0", start + 4):
            index.append((start, stop))
        end = stop if code == END else 0
    if not end or not encoded[end:].strip(PADDING):
        return encoded
    return _without(encoded[:end], index)


def without_metadata(encoded: bytes) -> tuple[bytes, dict[str, bytes]]:
    """A JPEG without comments and application data that no pixel needs; its EXIF and XMP blocks.

    Pillow parses them whether asked to or not, and stumbles over broken ones.
    """
    dropped: list[tuple[int, int]] = []
    info: dict[str, bytes] = {}
    for code, start, stop in jpeg_segments(encoded):
        if code == SCAN:
            break
        if not (APP1 <= code <= APP15 or code == COMMENT) or code == APP14:
            continue
        dropped.append((start, stop))
        for name, mark in METADATA.items():
            if code == APP1 and encoded.startswith(mark, start + 4):
                info.setdefault(name, encoded[start + 4 : stop])
    return (_without(encoded, dropped) if dropped else encoded), info


def bare_png(encoded: bytes) -> bytes:
    """A PNG with only the chunks that its pixels need; those keep their checksums."""
    kept, place = [PNG_START], len(PNG_START)
    while place < len(encoded):
        stop = place + 12 + int.from_bytes(encoded[place : place + 4], "big")
        if encoded[place + 4 : place + 8] in KEPT_CHUNKS:
            kept.append(encoded[place:stop])
        place = stop
    return b"".join(kept)


def may_be_turned(encoded: bytes, info: Mapping[Any, Any]) -> bool:
    """Whether an image has an orientation at all.

    Looking through the bytes of a PNG takes no time; asking Pillow doubles that of a small one.
    """
    if not encoded.startswith(PNG_START):
        return "exif" in info or "xmp" in info
    return b"eXIf" in encoded or b"Raw profile type exif" in encoded


def orientation(info: Mapping[Any, Any]) -> int:
    """The EXIF orientation, 1 to 8; 1 also where the EXIF block is broken, as viewers take it.

    Args:
        info: as Pillow read it from the file.
    """
    found = _exif_orientation(info.get("exif") or _raw_profile(info))
    if found == 0:
        xmp = info.get("xmp", b"")
        text = XMP_ORIENTATION.search(xmp if isinstance(xmp, bytes) else str(xmp).encode())
        found = int(text[1]) if text else 1
    return found


def _exif_orientation(exif: bytes) -> int:
    """The orientation of an EXIF block; 0 if it has none, or is no EXIF block."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    try:
        if order is None:
            return 0
        (place,) = struct.unpack_from(f"{order}L", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, place)
        for entry in range(place + 2, place + 2 + 12 * entries, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHLH", block, entry)
            if tag == ORIENTATION:
                return value if kind == SHORT and 1 <= value <= 8 else 0
    except struct.error:
        return 0  # cut off
    return 0


def _raw_profile(info: Mapping[Any, Any]) -> bytes:
    """EXIF as ImageMagick writes it into the text of a PNG: a name, a length, hex digits."""
    text = info.get("Raw profile type exif")
    if not isinstance(text, str):
        return b""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""


def _without(encoded: bytes, spans: list[tuple[int, int]]) -> bytes:
    parts, place = [], 0
    for start, stop in spans:
        parts.append(encoded[place:start])
        place = stop
    return b"".join([*parts, encoded[place:]])
