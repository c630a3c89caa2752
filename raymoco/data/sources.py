"""Where images come from: each source yields the same records, whatever its files look like."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from raymoco.config import DataConfig
from raymoco.data.codec import encode_png
from raymoco.data.splits import in_test_split
from raymoco.errors import ConfigError, DataError

FASHION_MNIST_ROOT = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Record:
    """One image: PNG or JPEG as it lay, its label or None, and `train` or `test`."""

    id: str
    image: bytes
    label: int | None
    split: str


class Source(Protocol):
    """What every source offers to the builder of shards."""

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def records(self) -> Iterator[Record]:
        """Every image once, in an order that is the same each time."""
        ...

    def fingerprint(self) -> str:
        """Hex digits that change when an image was added, removed or replaced."""
        ...


def open_source(data: DataConfig) -> Source:
    """The source that `data` names, its files found but not read.

    Raises:
        ConfigError: the source or the mix is not supported, or `data.root` is missing.
        DataError: the folder is missing or has not the layout that the source expects.
    """
    refuse_unsupported(data)
    return SOURCES[data.source](data)


def refuse_unsupported(data: DataConfig) -> None:
    """Raise a ConfigError for what the schema of `data` allows and the package cannot do yet."""
    if data.source not in SOURCES:
        raise ConfigError(
            f"data.source {data.source} is not supported yet; there are: {', '.join(SOURCES)}."
        )
    if data.mix != "natural":
        raise ConfigError(f"data.mix {data.mix} is not supported yet; there is: natural.")


class DigitsSource:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels; a fixed 20 % is the test set."""

    name = "digits"
    classes = tuple("0123456789")

    def __init__(self, data: DataConfig) -> None:
        from sklearn.datasets import load_digits  # a second to import, and only digits need it

        bunch = load_digits()
        self._pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)
        self._labels = bunch.target.astype(np.int64)

    def records(self) -> Iterator[Record]:
        for index, (pixels, label) in enumerate(zip(self._pixels, self._labels, strict=True)):
            name = f"digits/{index:05d}"
            split = "test" if in_test_split(name) else "train"
            yield Record(name, encode_png(pixels), int(label), split)

    def fingerprint(self) -> str:
        return hashlib.sha256(self._pixels.tobytes() + self._labels.tobytes()).hexdigest()


class FashionMnistSource:
    """Fashion-MNIST (or anything in its files' form): four IDX files, gzipped or plain."""

    name = "fashion_mnist"
    classes = FASHION_MNIST_CLASSES
    _prefixes = (("train", "train"), ("test", "t10k"))

    def __init__(self, data: DataConfig) -> None:
        self._root = Path(data.root).expanduser().absolute() if data.root else FASHION_MNIST_ROOT
        self._files = {
            split: (
                self._find(f"{prefix}-images-idx3-ubyte"),
                self._find(f"{prefix}-labels-idx1-ubyte"),
            )
            for split, prefix in self._prefixes
        }

    def records(self) -> Iterator[Record]:
        for split, (image_file, label_file) in self._files.items():
            images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
            if len(images) != len(labels):
                raise DataError(
                    f"{image_file} has {len(images)} images, but {label_file} has "
                    f"{len(labels)} labels."
                )
            if len(labels) and labels.max() >= len(self.classes):
                raise DataError(f"{label_file} has the label {labels.max()}, but must have 0 to 9.")
            for index, (pixels, label) in enumerate(zip(images, labels, strict=True)):
                yield Record(f"{split}/{index:05d}", encode_png(pixels), int(label), split)

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
    except (OSError, EOFError) as error:
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


class FolderSource:
    """A folder of images: a folder per class, and `unlabelled/` beside them.

    With `train/` and `test/` inside, each of which holds class folders, those are the splits;
    otherwise a fixed 20 % of the labelled images is the test set. Labels are the class folders in
    sorted order. An id is the path below the root.
    """

    name = "folder"

    def __init__(self, data: DataConfig) -> None:
        if not data.root:
            raise ConfigError("data.root is null, but data.source folder needs a folder of images.")
        self._root = root = Path(data.root).expanduser().absolute()
        if not root.is_dir():
            raise DataError(f"{root}: no such folder. {self._expected()}")
        own_splits = (root / "train").is_dir() and (root / "test").is_dir()
        tops = {"train": root / "train", "test": root / "test"} if own_splits else {None: root}
        self._found: list[tuple[str, str | None, str | None]] = []  # path, class, split
        for split, top in tops.items():
            for folder in sorted(path for path in top.iterdir() if path.is_dir()):
                if not folder.name.startswith(".") and folder.name != UNLABELLED:
                    self._found += [(path, folder.name, split) for path in self._files(folder)]
        for folder in {root / UNLABELLED, *(top / UNLABELLED for top in tops.values())}:
            self._found += [(path, None, "train") for path in self._files(folder)]
        self._found.sort(key=lambda found: found[0])
        for path, _, _ in self._found:
            if not path.isprintable():  # surrogates too: no UTF-8, so no id
                raise DataError(f"{root}/{path!a}: rename it, a name must be printable UTF-8 text.")
        training = {name for _, name, split in self._found if name and split != "test"}
        self.classes: tuple[str, ...] = tuple(sorted(training))
        if not self.classes:
            raise DataError(
                f"{root}: there is no folder of a class with images. {self._expected()}"
            )
        strangers = sorted({name for _, name, _ in self._found if name} - training)
        if strangers:
            raise DataError(
                f"{root / 'test'}: the class '{strangers[0]}' has no folder in {root / 'train'}."
            )

    def records(self) -> Iterator[Record]:
        numbers = {name: number for number, name in enumerate(self.classes)}
        for path, class_name, given in self._found:
            split = given or ("test" if in_test_split(path) else "train")
            label = None if class_name is None else numbers[class_name]
            try:
                encoded = (self._root / path).read_bytes()
            except OSError as error:
                raise DataError(f"{self._root / path}: cannot be read: {error.strerror}") from None
            yield Record(path, encoded, label, split)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for path, _, _ in self._found:
            stat = (self._root / path).stat()
            digest.update(
                f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "replace")
            )
        return digest.hexdigest()

    def _files(self, folder: Path) -> list[str]:
        """Paths below the root of every file in `folder`, hidden ones left out."""
        return [
            (Path(top) / name).relative_to(self._root).as_posix()
            for top, _, names in os.walk(folder, followlinks=True)
            for name in names
            if not name.startswith(".")
        ]

    def _expected(self) -> str:
        return (
            f"Expected is {self._root}/CLASS/IMAGE for each class, or train/CLASS/IMAGE and "
            "test/CLASS/IMAGE, and images without a label in unlabelled/."
        )


SOURCES: dict[str, Callable[[DataConfig], Source]] = {
    "digits": DigitsSource,
    "fashion_mnist": FashionMnistSource,
    "folder": FolderSource,
}
