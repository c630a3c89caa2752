"""The Protocol of a source: it lists its entries first and reads images on demand.

raymoco reads the list once, in any order, and keeps it on disk. Many processes read the images,
each those of one shard at a time. So memory does not grow with the number of images.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from raymoco.config import DataConfig
from raymoco.errors import DataError

# what an id may not contain: control characters and ends of lines, which would break the lists in
# which ids stand, and surrogates, which are no UTF-8
NO_ID = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# encoded bytes; or pixels, (H, W) gray or (H, W, 3) color, for sources that store no PNG or JPEG
SourceImage = bytes | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a source.

    Attributes:
        id: unique in the source.
        label: the number of its class, or None.
        split: `train`, `test`, or `eval`; None: the plan decides by the id and the label whether it
            is a test image. If no image is in `eval`, the plan takes some of `train`.
        place: where the image is, in a notation of the source's own.
        bytes: its approximate size there.
        together: entries with the same text are cheap to read together, so they go to one shard;
            empty: this one is cheap to read on its own.
    """

    id: str
    label: int | None
    split: str | None
    place: str
    bytes: int
    together: str = ""


class Source(Protocol):
    """What a source offers to the builder of shards; it must be picklable.

    raymoco constructs the class with the `DataConfig`, whose `root` is absolute, and with
    `options=` if it has a pydantic model `Options`. The constructor finds the files and reads
    little of them. A source that passes files over, or that reads a layout one way of several, says
    so by `account()`, see `raymoco.data.account.KeepsAccount`; it is asked once entries() has been
    read to its end, in the same process.
    """

    def __init__(self, data: DataConfig) -> None: ...

    @property
    def name(self) -> str:
        """The name in messages and in the manifest."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by number; empty where no image has a label."""

    def entries(self) -> Iterator[Entry]:
        """Yield every image once, in any order."""
        ...

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        """Yield the images at these places of entries, in this order.

        Raises:
            DataError: a file is missing or cannot be read; names it. Bytes that are not an image
                are yielded as they are, and `Unreadable` where one image cannot be read.
        """
        ...

    def fingerprint(self) -> str:
        """Return hex digits that change when an image is added, removed or replaced."""
        ...


def stat_fingerprint(root: Path, paths: Iterable[str]) -> str:
    """Hash the names below `root`, sizes and times of files, independent of their order."""
    stats = ((path, os.stat(os.path.join(root, path))) for path in paths)
    return files_fingerprint((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)


def files_fingerprint(files: Iterable[tuple[str, int, int]]) -> str:
    """Hash names, sizes and times of change in nanoseconds, independent of their order."""
    total = 0
    for path, size, time_ns in files:
        text = f"{path}\0{size}\0{time_ns}".encode("utf-8", "replace")
        # a sum instead of a chain, so that a folder of a million files need not be sorted
        total += int.from_bytes(hashlib.sha256(text).digest(), "big")
    return f"{total % 2**256:064x}"


def can_be_id(name: str) -> bool:
    """Whether a name is UTF-8 without control characters; spaces and joiners of any kind are."""
    return NO_ID.search(name) is None


def check_ids(root: Path, path: str) -> None:
    """Refuse a name that cannot be an id.

    Raises:
        DataError: it is no UTF-8, or has control characters.
    """
    if not can_be_id(path):
        raise DataError(
            f"{root}/{path!a}: rename it, a name must be UTF-8 text without control characters."
        )
