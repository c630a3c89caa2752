"""STL-10 in its binary form: 5,000 labeled, 100,000 unlabeled and 8,000 test images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from raymoco.config import DataConfig
from raymoco.data.sources.source import Entry, SourceImage, stat_fingerprint
from raymoco.errors import ConfigError, DataError
from raymoco.files import absolute

SIDE = 96
IMAGE_BYTES = 3 * SIDE * SIDE
FILES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "unlabeled_X.bin")
CLASS_NAMES = "class_names.txt"
# part of the files -> the labels beside it, the split
PARTS = {
    "train": ("train_y.bin", "train"),
    "test": ("test_y.bin", "test"),
    "unlabeled": (None, "train"),
}
EXPECTED = (
    "Download stl10_binary.tar.gz from https://cs.stanford.edu/~acoates/stl10/, unpack it, and set "
    "data.root to the folder stl10_binary."
)


class Stl10Source:
    """STL-10; `data.root` is the unpacked folder, or the folder that contains it.

    Images are read one at a time from mapped files: 2.7 GB of unlabeled images take no memory.
    """

    name = "stl10"

    def __init__(self, data: DataConfig) -> None:
        if not data.root:
            raise ConfigError(
                f"data.root is null, but data.source stl10 needs its files. {EXPECTED}"
            )
        root = absolute(data.root)
        inner = root / "stl10_binary"
        self._root = inner if inner.is_dir() else root
        for name in (*FILES, CLASS_NAMES):
            if not (self._root / name).is_file():
                raise DataError(f"{self._root / name}: no such file. {EXPECTED}")
        try:
            names = (self._root / CLASS_NAMES).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self._root / CLASS_NAMES}: cannot be read: {error}") from None
        self.classes: tuple[str, ...] = tuple(names)

    def entries(self) -> Iterator[Entry]:
        for part, (label_file, split) in PARTS.items():
            count = len(self._images(part))
            labels = [None] * count if label_file is None else self._labels(label_file, count)
            for row, label in enumerate(labels):
                name = f"{part}/{row:06d}"
                yield Entry(name, label, split, name, IMAGE_BYTES)

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        images = {part: self._images(part) for part in PARTS}
        for place in places:
            part, _, row = place.partition("/")
            # planes of red, green and blue, each column by column
            yield np.ascontiguousarray(images[part][int(row)].transpose(2, 1, 0))

    def fingerprint(self) -> str:
        return stat_fingerprint(self._root, (*FILES, CLASS_NAMES))

    def _images(self, part: str) -> NDArray[np.uint8]:
        path = self._root / f"{part}_X.bin"
        try:
            size = path.stat().st_size
            if size == 0 or size % IMAGE_BYTES:
                raise DataError(
                    f"{path}: has {size} bytes, but must have a multiple of {IMAGE_BYTES}."
                )
            shape = (size // IMAGE_BYTES, 3, SIDE, SIDE)
            return np.memmap(path, np.uint8, mode="r", shape=shape)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error}") from None

    def _labels(self, name: str, count: int) -> list[int | None]:
        path = self._root / name
        try:
            found = np.fromfile(path, np.uint8)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error}") from None
        if len(found) != count:
            raise DataError(f"{path}: has {len(found)} labels, but there are {count} images.")
        if found.min(initial=1) < 1 or found.max(initial=1) > len(self.classes):
            raise DataError(f"{path}: has labels beyond 1 to {len(self.classes)}.")
        return [int(label) - 1 for label in found]
