"""scikit-learn's handwritten digits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from raymoco.config import DataConfig
from raymoco.data.sources.source import Entry, SourceImage


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
            yield Entry(name, label, None, str(row), self._pixels[row].size)

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        for place in places:
            yield self._pixels[int(place)]

    def fingerprint(self) -> str:
        return hashlib.sha256(self._pixels.tobytes() + self._labels.tobytes()).hexdigest()
