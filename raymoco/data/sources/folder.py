"""Folders of image files, with class folders, a list of labels, or no labels."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from raymoco.config import DataConfig
from raymoco.data.account import Account
from raymoco.data.sources.folder_tables import find_table
from raymoco.data.sources.source import Entry, SourceImage, check_ids, stat_fingerprint
from raymoco.data.splits import in_test_split
from raymoco.errors import ConfigError, DataError
from raymoco.files import absolute

UNLABELLED = ("unlabelled", "unlabeled")
TESTS = ("test", "val", "validation")
TABLE = "labels.csv"
SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".jp2"),
}


class FolderSource:
    """A folder of images: a folder per class, and `unlabelled/` or single images beside them.

    With `train/` and `test/` (or `val/`) inside, each of which holds class folders, those are the
    splits; otherwise a fixed 20 % of the labeled images is the test set. Labels are the class
    folders in sorted order. With `labels.csv` (name,label and maybe split; names are paths below
    the root) the folders have no meaning, and images that it does not list have no label. An
    image's id is its path below the root.
    """

    name = "folder"

    def __init__(self, data: DataConfig) -> None:
        if not data.root:
            raise ConfigError("data.root is null, but data.source folder needs a folder of images.")
        self._root = root = absolute(data.root)
        if not root.is_dir():
            raise DataError(f"{root}: no such folder. {self._expected()}")
        self._account = Account()
        self._table = find_table(data, root, self._account)
        if self._table is not None:
            self.classes = self._table.classes
        else:
            self._tops = self._find_tops()
            self.classes = self._find_classes()
        if next(self._entries(), None) is None:
            raise DataError(f"{root}: there is no image in it. {self._expected()}")

    def entries(self) -> Iterator[Entry]:
        if self._table is not None:
            self._table.match(lambda: (entry.id for entry in self._entries()))
        yield from self._entries()

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        for place in places:
            try:
                yield (self._root / place).read_bytes()
            except OSError as error:
                raise DataError(f"{self._root / place}: cannot be read: {error.strerror}") from None

    def fingerprint(self) -> str:
        table = self._table.files if self._table is not None else []
        paths = (entry.place for entry in self._entries())
        return stat_fingerprint(self._root, itertools.chain(table, paths))

    def account(self) -> Account:
        """See `KeepsAccount`."""
        table = () if self._table is None else self._table.account.remarks()
        return Account([*self._account.remarks(), *table])

    def _entries(self) -> Iterator[Entry]:
        if self._table is not None:
            for path, size in self._files(self._root):
                if Path(path).suffix.lower() not in SUFFIXES and not self._table.lists(path):
                    continue
                label, split, _ = self._table.find(path)
                yield self._entry(path, size, label, split)
            return
        numbers = {name: number for number, name in enumerate(self.classes)}
        for split, top in self._tops:
            for name in _folders(top):
                if name in UNLABELLED:
                    if split != "test":
                        for path, size in self._files(top / name):
                            yield self._entry(path, size, None, "train")
                elif name in numbers:
                    for path, size in self._files(top / name):
                        yield self._entry(path, size, numbers[name], split)
            if split != "test":
                for path, size in self._files(top, deep=False):
                    if Path(path).suffix.lower() in SUFFIXES:
                        yield self._entry(path, size, None, "train")
        if self._root not in [top for _, top in self._tops]:
            for name in UNLABELLED:
                for path, size in self._files(self._root / name):
                    yield self._entry(path, size, None, "train")

    def _entry(self, path: str, size: int, label: int | None, split: str | None) -> Entry:
        check_ids(self._root, path)
        if split is None:
            split = "test" if label is not None and in_test_split(path) else "train"
        return Entry(path, label, split, path, size)

    def _find_tops(self) -> list[tuple[str | None, Path]]:
        """The folders that contain class folders, each with its split; None: a hash decides."""
        root, train = self._root, self._root / "train"
        tests = [name for name in TESTS if (root / name).is_dir()]
        if train.is_dir() and len(tests) > 1:
            raise DataError(
                f"{root}: has {' and '.join(f'{name}/' for name in tests)} beside train/, but one "
                "test set is enough (the evaluation split is taken from train/): move the other "
                "one away."
            )
        if train.is_dir() and tests:
            return [("train", train), ("test", root / tests[0])]
        if train.is_dir() and set(_folders(root)) <= {"train", *UNLABELLED}:
            return [(None, train)]
        return [(None, root)]

    def _find_classes(self) -> tuple[str, ...]:
        found: dict[str | None, set[str]] = {}
        for split, top in self._tops:
            names = (name for name in _folders(top) if name not in UNLABELLED)
            found[split] = {name for name in names if next(self._files(top / name), None)}
        strangers = sorted(found.get("test", set()) - found.get("train", set()))
        if strangers:
            raise DataError(
                f"{self._tops[-1][1]}: the class '{strangers[0]}' has no folder in "
                f"{self._root / 'train'}."
            )
        return tuple(sorted(found.get("train") or found.get(None) or ()))

    def _files(
        self, folder: Path, *, deep: bool = True, above: tuple[tuple[int, int], ...] = ()
    ) -> Iterator[tuple[str, int]]:
        """Path below the root and size of every file in `folder` that is not hidden."""
        table, start = str(self._root / TABLE), len(os.path.join(self._root, ""))
        try:
            place = folder.stat()
            above = (*above, (place.st_dev, place.st_ino))
            with os.scandir(folder) as found:
                for item in found:
                    if item.name.startswith("."):
                        continue
                    if item.is_dir():
                        inner = item.stat()
                        if deep and (inner.st_dev, inner.st_ino) not in above:  # a link may loop
                            yield from self._files(Path(item.path), above=above)
                    elif item.path != table:  # compare text: pathlib takes longer than the disk
                        yield item.path[start:], item.stat().st_size
        except FileNotFoundError as error:
            if folder.name not in UNLABELLED or Path(error.filename) != folder:
                raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None

    def _expected(self) -> str:
        return (
            f"Expected is {self._root}/CLASS/IMAGE for each class, or train/CLASS/IMAGE and "
            "test/CLASS/IMAGE, and images without a label in unlabelled/; or images and a "
            f"{TABLE} with the columns name and label; or images alone, if there are no labels."
        )


def _folders(top: Path) -> list[str]:
    """Names of the folders in a folder that are not hidden."""
    with os.scandir(top) as found:
        return sorted(
            item.name for item in found if item.is_dir() and not item.name.startswith(".")
        )
