"""The members of a tar file, and where each begins, so that reading one is a seek."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from raymoco.errors import DataError

OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
BROKEN = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError)
BLOCK = 512
LOOKED_AT = 2**16  # bytes after the end of an archive


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar.

    Attributes:
        name: its path in it.
        offset: where its bytes begin; in a compressed tar, after decompression.
        size: in bytes.
        content: its bytes, where they were asked for.
    """

    name: str
    offset: int
    size: int
    content: bytes | None = None


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    """Yield the regular files of a tar in their order; no list of them is kept.

    Args:
        wanted: says by its name whether a member's content is read too.
    Raises:
        DataError: it is no tar, or damaged.
    """
    try:
        with tarfile.open(path, "r:*") as archive:
            while (info := archive.next()) is not None:
                # it would keep a million; typeshed does not know it
                archive.members = []  # type: ignore[attr-defined]
                if not info.isreg() or info.issparse():
                    continue
                content = None
                if wanted(info.name):
                    file = archive.extractfile(info)
                    content = file.read() if file else b""
                yield Member(info.name, info.offset_data, info.size, content)
            end = archive.offset
        with opened(path) as file:
            _check_end(path, file, end)
    except BROKEN as error:
        raise DataError(f"{path}: cannot be read as a tar: {error}. Is it complete?") from None


def read_members(path: Path, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """Yield the bytes at each offset and size; the offsets ascend.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with opened(path) as file:
            for offset, size in places:
                file.seek(offset)
                yield file.read(size)
    except BROKEN as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed, by its first bytes."""
    return _opener(path) is not None


def opened(path: Path) -> IO[bytes]:
    """Open a tar file, decompressed if it is compressed."""
    opener = _opener(path)
    found: IO[bytes] = path.open("rb") if opener is None else opener(path)
    return found


def _opener(path: Path) -> Callable[[Path], Any] | None:
    with path.open("rb") as file:
        head = file.read(6)
    return next((opener for mark, opener in OPENERS.items() if head.startswith(mark)), None)


def _check_end(path: Path, file: IO[bytes], end: int) -> None:
    """Refuse a tar that goes on where `tarfile` stopped: what follows would be lost silently."""
    file.seek(end)
    rest = file.read(LOOKED_AT)
    if rest.strip(b"\0"):
        what = "is damaged" if rest[:BLOCK].strip(b"\0") else "goes on after its end"
        raise DataError(
            f"{path}: {what} at byte {end:,}. If tars were concatenated, put each into a file of "
            "its own."
        )
