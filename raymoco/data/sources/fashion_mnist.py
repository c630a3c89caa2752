"""Fashion-MNIST, and anything else in MNIST's IDX files."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raymoco.config import DataConfig
from raymoco.data.sources.source import Entry, SourceImage
from raymoco.errors import DataError
from raymoco.files import absolute

FASHION_MNIST_ROOT = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


class FashionMnistSource:
    """Fashion-MNIST (or anything in its files' form): four IDX files, gzipped or plain."""

    name = "fashion_mnist"
    classes = FASHION_MNIST_CLASSES
    _prefixes = (("train", "train"), ("test", "t10k"))

    def __init__(self, data: DataConfig) -> None:
        self._root = absolute(data.root) if data.root else FASHION_MNIST_ROOT
        self._files = {
            split: (
                self._find(f"{prefix}-images-idx3-ubyte"),
                self._find(f"{prefix}-labels-idx1-ubyte"),
            )
            for split, prefix in self._prefixes
        }

    def entries(self) -> Iterator[Entry]:
        for split, (image_file, label_file) in self._files.items():
            images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
            if len(images) != len(labels):
                raise DataError(
                    f"{image_file} has {len(images)} images, but {label_file} has "
                    f"{len(labels)} labels."
                )
            if len(labels) and labels.max() >= len(self.classes):
                raise DataError(f"{label_file} has the label {labels.max()}, but must have 0 to 9.")
            size = int(np.prod(images.shape[1:]))
            for row, label in enumerate(labels.tolist()):
                name = f"{split}/{row:05d}"
                yield Entry(name, label, split, name, size)

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        images: dict[str, NDArray[np.uint8]] = {}
        for place in places:
            split, _, row = place.partition("/")
            if split not in images:
                images[split] = read_idx(self._files[split][0], 3)
            yield images[split][int(row)]

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for pair in self._files.values():
            for path in pair:
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def _find(self, name: str) -> Path:
        for path in (self._root / f"{name}.gz", self._root / name):
            if path.is_file():
                return path
        raise DataError(
            f"{self._root / name}[.gz]: no such file. Fashion-MNIST is four IDX files: install "
            f"the Debian package dataset-fashion-mnist, which puts them in {FASHION_MNIST_ROOT}, "
            "or download them and set data.root to their folder."
        )


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped if its name ends in .gz.

    Raises:
        DataError: not IDX, other dimensions, or cut off; names the file.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    start = 4 + 4 * dimensions
    if len(content) < start or content[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(f"{path}: is not an IDX file of unsigned bytes in {dimensions} dimensions.")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - start != expected:
        raise DataError(
            f"{path}: has {len(content) - start} bytes of data, but its header says {expected}."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
