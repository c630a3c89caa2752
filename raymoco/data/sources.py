"""Where images come from: each source yields the same entries, whatever its files look like."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from raymoco.config import DataConfig
from raymoco.data.cifar import CifarSource
from raymoco.data.folder import FolderSource
from raymoco.data.idx import FASHION_MNIST_ROOT, FashionMnistSource
from raymoco.data.parquet import ParquetSource
from raymoco.data.records import Entry, Found, Source
from raymoco.data.splits import in_test_split
from raymoco.data.stl10 import Stl10Source

__all__ = ["FASHION_MNIST_ROOT", "SOURCES", "Entry", "Found", "Source", "open_source"]


class DigitsSource:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels; a fixed 20 % is the test set."""

    name = "digits"
    classes = tuple("0123456789")

    def __init__(self, data: DataConfig) -> None:
        from sklearn.datasets import load_digits  # a second to import, and only digits need it

        bunch = load_digits()
        self._pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)
        self._labels = bunch.target.astype(np.int64)

    def entries(self) -> Iterator[Entry]:
        for row, label in enumerate(self._labels.tolist()):
            name = f"digits/{row:05d}"
            split = "test" if in_test_split(name) else "train"
            yield Entry(name, label, split, str(row), self._pixels[row].size)

    def read(self, places: Sequence[str]) -> Iterator[Found]:
        for place in places:
            yield self._pixels[int(place)]

    def fingerprint(self) -> str:
        return hashlib.sha256(self._pixels.tobytes() + self._labels.tobytes()).hexdigest()


SOURCES: dict[str, Callable[[DataConfig], Source]] = {
    "digits": DigitsSource,
    "fashion_mnist": FashionMnistSource,
    "cifar10": CifarSource,
    "cifar100": CifarSource,
    "stl10": Stl10Source,
    "folder": FolderSource,
    "shards": ParquetSource,
}


def open_source(data: DataConfig) -> Source:
    """The source that `data` names, its files found but not read.

    Raises:
        ConfigError: `data.root` is missing.
        DataError: files are missing or have not the layout that the source expects; the message
            says where to put which.
    """
    return SOURCES[data.source](data)
