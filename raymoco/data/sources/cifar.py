"""CIFAR-10 and CIFAR-100 as published: the binary or the Python version, unpacked or .tar.gz."""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raymoco.config import DataConfig
from raymoco.data.sources.source import Entry, SourceImage, stat_fingerprint
from raymoco.errors import ConfigError, DataError
from raymoco.files import absolute
from raymoco.registry import name_of

Pixels = NDArray[np.uint8]
SIDE = 32
PLANES = 3 * SIDE * SIDE
WHERE = "https://www.cs.toronto.edu/~kriz/cifar.html"
# pickle raises these for bytes that are not a pickle, or that ask for a class that is not allowed
BROKEN_PICKLE = (
    *(pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, TypeError),
    *(AttributeError, ImportError, MemoryError, UnicodeDecodeError),
)


@dataclass(frozen=True)
class Version:
    """One of the two published forms of a CIFAR data set."""

    folder: str
    archive: str
    files: dict[str, tuple[str, ...]]  # split -> names
    names_file: str
    pickled: bool


@dataclass(frozen=True)
class Published:
    """The differences between CIFAR-10 and CIFAR-100."""

    title: str
    classes: int
    label_bytes: int  # the last of them is the class
    label_key: bytes
    names_key: bytes
    versions: tuple[Version, ...]


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
CIFAR10 = Published(
    "CIFAR-10",
    classes=10,
    label_bytes=1,
    label_key=b"labels",
    names_key=b"label_names",
    versions=(
        Version(
            "cifar-10-batches-bin",
            "cifar-10-binary.tar.gz",
            {"train": tuple(f"{name}.bin" for name in _BATCHES), "test": ("test_batch.bin",)},
            "batches.meta.txt",
            pickled=False,
        ),
        Version(
            "cifar-10-batches-py",
            "cifar-10-python.tar.gz",
            {"train": _BATCHES, "test": ("test_batch",)},
            "batches.meta",
            pickled=True,
        ),
    ),
)
CIFAR100 = Published(
    "CIFAR-100",
    classes=100,
    label_bytes=2,
    label_key=b"fine_labels",
    names_key=b"fine_label_names",
    versions=(
        Version(
            "cifar-100-binary",
            "cifar-100-binary.tar.gz",
            {"train": ("train.bin",), "test": ("test.bin",)},
            "fine_label_names.txt",
            pickled=False,
        ),
        Version(
            "cifar-100-python",
            "cifar-100-python.tar.gz",
            {"train": ("train",), "test": ("test",)},
            "meta",
            pickled=True,
        ),
    ),
)


class CifarSource:
    """CIFAR-10 or CIFAR-100.

    `data.root` is the folder that contains the published archive or the unpacked folder, or one of
    these two itself.
    """

    def __init__(self, data: DataConfig) -> None:
        self.name: str = name_of(data.source)
        self._published = CIFAR10 if self.name == "cifar10" else CIFAR100
        if not data.root:
            raise ConfigError(
                f"data.root is null, but data.source {self.name} needs its files. "
                f"{self._expected()}"
            )
        self._root = absolute(data.root)
        self._place, self._version = self._find()
        self.classes = self._class_names()

    def entries(self) -> Iterator[Entry]:
        for split, names in self._version.files.items():
            for name in names:
                _, labels = self._parse(name)
                for row, label in enumerate(labels.tolist()):
                    place = f"{name}:{row}"
                    stem = name.removesuffix(".bin")  # an image has the same id in both versions
                    yield Entry(f"{split}/{stem}/{row:05d}", label, split, place, PLANES)

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        loaded: dict[str, Pixels] = {}
        for place in places:
            name, _, row = place.rpartition(":")
            if name not in loaded:
                loaded[name] = self._parse(name)[0]
            yield loaded[name][int(row)].reshape(3, SIDE, SIDE).transpose(1, 2, 0)

    def fingerprint(self) -> str:
        if self._place.is_file():
            return stat_fingerprint(self._place.parent, [self._place.name])
        names = [name for names in self._version.files.values() for name in names]
        return stat_fingerprint(self._place, [*names, self._version.names_file])

    def _find(self) -> tuple[Path, Version]:
        for version in self._published.versions:
            wanted = [name for names in version.files.values() for name in names]
            wanted.append(version.names_file)
            for place in (self._root, self._root / version.folder):
                there = [name for name in wanted if (place / name).is_file()]
                if len(there) == len(wanted):
                    return place, version
                if len(there) > 1:
                    missing = next(name for name in wanted if name not in there)
                    raise DataError(f"{place / missing}: no such file. {self._expected()}")
            for path in (self._root, self._root / version.archive):
                if path.name == version.archive and path.is_file():
                    return path, version
        raise DataError(f"{self._root}: holds no {self._published.title}. {self._expected()}")

    def _expected(self) -> str:
        archives = " or ".join(version.archive for version in self._published.versions)
        folders = " or ".join(f"{version.folder}/" for version in self._published.versions)
        return (
            f"Download {archives} from {WHERE} into a folder, unpacked ({folders}) or not, and set "
            "data.root to that folder."
        )

    def _class_names(self) -> tuple[str, ...]:
        content, name = self._content(self._version.names_file), self._version.names_file
        if self._version.pickled:
            found = load_pickle(content, self._where(name)).get(self._published.names_key, [])
            names = [bytes(word).decode("utf-8", "replace") for word in found]
        else:
            names = content.decode("utf-8", "replace").split()
        if len(names) != self._published.classes:
            raise DataError(
                f"{self._where(name)}: names {len(names)} classes, but {self._published.title} "
                f"has {self._published.classes}."
            )
        return tuple(names)

    def _parse(self, name: str) -> tuple[Pixels, NDArray[np.int64]]:
        """Pixels (n, 3072), planes of red, green and blue, and labels (n,) of one file."""
        content, where = self._content(name), self._where(name)
        if self._version.pickled:
            batch = load_pickle(content, where)
            pixels = np.asarray(batch.get(b"data"))
            labels = np.asarray(batch.get(self._published.label_key, ()), dtype=np.int64)
            if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PLANES):
                raise DataError(
                    f"{where}: holds {len(labels)} labels, and under 'data' no array of uint8 "
                    f"of shape ({len(labels)}, {PLANES})."
                )
        else:
            record = self._published.label_bytes + PLANES
            if not content or len(content) % record:
                raise DataError(
                    f"{where}: has {len(content)} bytes, but must have a multiple of {record}."
                )
            table = np.frombuffer(content, np.uint8).reshape(-1, record)
            pixels = table[:, self._published.label_bytes :]
            labels = table[:, self._published.label_bytes - 1].astype(np.int64)
        if labels.min(initial=0) < 0 or labels.max(initial=0) >= self._published.classes:
            raise DataError(f"{where}: has labels beyond 0 to {self._published.classes - 1}.")
        return pixels, labels

    def _content(self, name: str) -> bytes:
        try:
            if self._place.is_dir():
                return (self._place / name).read_bytes()
            with tarfile.open(self._place) as archive:
                for member in archive:  # a stream: a lookup by name would read all of it first
                    if PurePosixPath(member.name).name == name and member.isfile():
                        stream = archive.extractfile(member)
                        return stream.read() if stream else b""
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            raise DataError(f"{self._where(name)}: cannot be read: {error}") from None
        raise DataError(f"{self._where(name)}: is not in the archive.")

    def _where(self, name: str) -> str:
        return str(self._place / name)


class _PlainUnpickler(pickle.Unpickler):
    """Loads only containers, numbers, text and numpy arrays, so that a file cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in (
            "numpy.core.multiarray",
            "numpy._core.multiarray",
        ):
            return np.ndarray.__reduce__(np.empty(0))[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # bytes, as Python 3 writes them for Python 2
            return _encode
        raise pickle.UnpicklingError(f"it wants {module}.{name}, which no data set needs")


def _encode(text: str, encoding: str) -> bytes:
    return text.encode(encoding)


def load_pickle(content: bytes, where: str) -> dict[bytes, Any]:
    """Load a dictionary of plain values and numpy arrays that Python 2 pickled.

    Args:
        where: the file's name, for the message.
    Raises:
        DataError: no pickle, cut off, not a dictionary, or it would run code.
    """
    try:
        found = _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except BROKEN_PICKLE as error:
        raise DataError(f"{where}: is not one of CIFAR's pickled files: {error}.") from None
    if not isinstance(found, dict):
        raise DataError(f"{where}: is not one of CIFAR's pickled files: it holds no dictionary.")
    return {key.encode() if isinstance(key, str) else key: value for key, value in found.items()}
