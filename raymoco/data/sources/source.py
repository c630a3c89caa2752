"""What a source tells the builder of shards: a list of entries first, images on demand.

The list is read once, in any order, and kept on disk; images are read by many processes, a shard's
at a time. So neither needs memory that grows with the number of images.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from raymoco.config import DataConfig
from raymoco.errors import DataError

# as encoded, or pixels (H, W) gray or (H, W, 3) color of sources that store no PNG or JPEG
SourceImage = bytes | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a source.

    Attributes:
        id: unique in the source.
        label: its class's number, or None.
        split: `train` or `test`.
        place: where the image lies, in the source's own words.
        bytes: how many it takes there, about.
        together: entries with the same text here are cheap to read at once, so they go to one
            shard; empty: this one is cheap to read on its own.
    """

    id: str
    label: int | None
    split: str
    place: str
    bytes: int
    together: str = ""


class Source(Protocol):
    """What every source offers to the builder of shards; it can be pickled.

    A class is constructed with the `DataConfig`, whose `root` is absolute then, and with `options=`
    if it has a pydantic model `Options`. It finds its files, and reads little of them.
    """

    def __init__(self, data: DataConfig) -> None: ...

    @property
    def name(self) -> str:
        """What messages and the manifest call it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by number; empty where nothing has a label."""

    def entries(self) -> Iterator[Entry]:
        """Every image once, in whatever order it is found."""
        ...

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        """The images at these places of entries, in this order.

        Raises:
            DataError: a file is gone or cannot be read; names it. Bytes that are no image are
                given as they are.
        """
        ...

    def fingerprint(self) -> str:
        """Hex digits that change when an image was added, removed or replaced."""
        ...


def stat_fingerprint(root: Path, paths: Iterable[str]) -> str:
    """A hash of the names below `root`, sizes and times of files, in whatever order they come."""
    total = 0
    for path in paths:
        stat = os.stat(os.path.join(root, path))
        text = f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}".encode("utf-8", "replace")
        # a sum and not a chain: a folder of a million files need not be sorted
        total += int.from_bytes(hashlib.sha256(text).digest(), "big")
    return f"{total % 2**256:064x}"


def check_ids(root: Path, path: str) -> None:
    """Refuse a file name that cannot be an id.

    Raises:
        DataError: it is no printable UTF-8 text.
    """
    if not path.isprintable():  # surrogates too: no UTF-8, so no id
        raise DataError(f"{root}/{path!a}: rename it, a name must be printable UTF-8 text.")
