"""Folders of image files, with class folders, a list of labels, or no labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from raymoco.config import DataConfig
from raymoco.data.account import Account, Remark
from raymoco.data.sources.file_kinds import cannot_read
from raymoco.data.sources.folder_tables import TABLE, find_table
from raymoco.data.sources.layout import BESIDE, EMPTY, UNLABELLED, Layout, draw, read_layout
from raymoco.data.sources.source import Entry, SourceImage, files_fingerprint
from raymoco.data.sources.table_hint import unused_tables
from raymoco.data.sources.tally import Tally
from raymoco.data.sources.tree import Found, Tree
from raymoco.data.sources.unreadable import read_file
from raymoco.errors import ConfigError, DataError
from raymoco.files import absolute

UNLISTED = "that the table of labels does not list, and so have no label, whatever their folder"


class FolderSource:
    """A folder of images: a folder per class, and `unlabelled/` or single images beside them.

    With `train/` and `test/` inside (or other words for them), each of which holds class folders,
    those are the splits; otherwise a fixed 20 % of the labeled images is the test set. Labels are
    the class folders in sorted order. With `labels.csv` (name,label and maybe split; names are
    paths below the root) the folders have no meaning, and images that it does not list have no
    label. An image's id is its path below the root. What is no image is passed over.
    """

    name = "folder"

    def __init__(self, data: DataConfig) -> None:
        if not data.root:
            raise ConfigError("data.root is null, but data.source folder needs a folder of images.")
        self._root = root = absolute(data.root)
        if not root.is_dir():
            raise DataError(f"{root}: no such folder. {self._expected()}")
        self._said = Account()
        self._table = find_table(data, root, self._said)
        self._tree = Tree(root, frozenset(self._table.files if self._table is not None else ()))
        self._layout = Layout() if self._table is not None else read_layout(self._tree)
        self.classes = self._layout.classes if self._table is None else self._table.classes
        self._passed: tuple[Remark, ...] = ()
        if next(self._entries(Tally()), None) is None:
            raise self._nothing_found()
        if self._table is None:
            for hint in unused_tables(self._tree, self._layout.base):
                self._said.say("understood", hint)

    def entries(self) -> Iterator[Entry]:
        if self._table is not None:
            self._table.match(self._paths)
        tally = Tally()
        for entry, _ in self._entries(tally):
            yield entry
        self._count_unused(tally)
        self._passed = tally.remarks()

    def account(self) -> Account:
        """How the layout was read, and what was passed over when the entries were last listed."""
        table = () if self._table is None else self._table.account.remarks()
        said = (*self._said.remarks(), *self._layout.said.remarks())
        return Account([*said, *table, *self._passed])

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        cannot_read()  # registers the plugins of Pillow that are installed, in this process too
        for place in places:
            yield read_file(self._root / place)

    def fingerprint(self) -> str:
        tables = self._table.files if self._table is not None else []
        stats = ((name, (self._root / name).stat()) for name in tables)
        files = (found for _, found in self._entries(Tally()))
        return files_fingerprint(
            itertools.chain(
                ((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats),
                ((one.path, one.size, one.time_ns) for one in files),
            )
        )

    def _paths(self) -> Iterator[str]:
        """Every file that a row of the table may mean; also what cannot be read here."""
        tree, lists = self._tree, self._listed
        yield from (found.path for found in tree.images(wanted=lists, unreadable=True))

    def _listed(self, path: str) -> bool:
        return self._table is not None and self._table.lists(path)

    def _entries(self, tally: Tally) -> Iterator[tuple[Entry, Found]]:
        """Yield every entry and its file."""
        if self._table is not None:
            for found in self._tree.images(tally=tally, wanted=self._listed):
                label, split, row = self._table.find(found.path)
                if row < 0:
                    tally.add("understood", UNLISTED, found.path)
                yield _entry(found, label, split), found
            return
        numbers = {name: number for number, name in enumerate(self.classes)}
        for part in self._layout.parts:
            for name in part.classes:
                for found in self._images(part.folder, name, tally):
                    yield _entry(found, numbers[name], part.split), found
            trained = part.split in (None, "train")
            for name in part.unlabeled if trained else ():
                for found in self._images(part.folder, name, tally):
                    yield _entry(found, None, "train"), found
            for found in self._tree.images(part.folder, deep=False, tally=tally):
                if trained:
                    yield _entry(found, None, "train"), found
                else:
                    tally.add("left out", UNLABELLED, found.path)
        for folder in self._layout.unlabeled:
            for found in self._tree.images(folder, tally=tally):
                yield _entry(found, None, "train"), found

    def _images(self, folder: str, name: str, tally: Tally) -> Iterator[Found]:
        return self._tree.images(f"{folder}/{name}" if folder else name, tally=tally)

    def _count_unused(self, tally: Tally) -> None:
        """Count what lies in folders that have no part in the data."""
        layout = self._layout
        if self._table is not None:  # no folder has a meaning
            return
        for folder in layout.empty:
            tally.add("passed over", EMPTY, f"{folder}/")
            for _ in self._tree.images(folder, tally=tally):
                pass
        for folder, why in layout.unused:
            for found in self._tree.images(folder, tally=tally):
                tally.add("left out", why, found.path)
        parts = {part.folder for part in layout.parts}
        for folder in layout.levels:
            if folder not in parts:
                for found in self._tree.images(folder, deep=False, tally=tally):
                    tally.add("left out", BESIDE, found.path)

    def _nothing_found(self) -> DataError:
        tally = Tally()
        for _ in self._entries(tally):
            pass
        self._count_unused(tally)
        lines = [
            f"{self._root}: there is no image in it that raymoco can use. {self._expected()}",
            *(remark.line() for remark in tally.remarks()),
            f"The folder was understood as:\n{draw(self._tree)}",
        ]
        return DataError("\n".join(lines))

    def _expected(self) -> str:
        return (
            f"Expected is {self._root}/CLASS/IMAGE for each class, or train/CLASS/IMAGE and "
            "test/CLASS/IMAGE, and images without a label in unlabelled/; or images and a "
            f"{TABLE} with the columns name and label; or images alone, if there are no labels."
        )


def _entry(found: Found, label: int | None, split: str | None) -> Entry:
    split = "train" if split is None and label is None else split
    return Entry(found.path, label, split, found.path, found.size)
