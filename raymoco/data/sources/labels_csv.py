"""Tables of names and labels beside a folder of images."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raymoco.data.account import Account
from raymoco.data.sources.labels import Labels
from raymoco.data.sources.name_matching import FORMS, Form, key_of, nearest
from raymoco.data.sources.split_words import split_of
from raymoco.data.sources.tables import Row, Table
from raymoco.errors import DataError

Paths = Callable[[], Iterable[str]]  # below the root, of every file that may be an image
CHUNK = 4096
SPLITS = ("train", "test", "eval")
TEST, EVAL = SPLITS.index("test"), SPLITS.index("eval")


@dataclass(frozen=True)
class Part:
    """A table that tells about the files of a folder.

    Attributes:
        folder: below the root, with a `/` at its end; its names begin there. "": the root.
        split: `train`, `test` or `eval`: of all its rows; None: a column says it, or nothing.
        folders_split: a name that begins with a word such as `test/` is in that split.
    """

    table: Table
    folder: str = ""
    split: str | None = None
    folders_split: bool = False


class LabelTable:
    """The content of one or more tables in 13 bytes per image, independent of the names.

    `match` must be called before the labels are right for names that are not written exactly as the
    files are.

    Attributes:
        classes: the labels that occur, as numbers if all are whole numbers, else as text, sorted.
        account: how names and labels were understood.
    """

    def __init__(self, parts: Sequence[Part], root: Path) -> None:
        self.parts, self.root = tuple(parts), root
        self.path = parts[0].table.path
        self.account = Account()
        for part in parts:
            if part.table.said:
                self.account.say("understood", f"{self._called(part)}: {part.table.said}")
        names = Labels(f"{self.path}: the column '{parts[0].table.label_column}'")
        keys, labels, splits = array("Q"), array("i"), array("b")
        for part, row in self._rows():
            place = f"{part.table.path}:{row.line}"
            if not row.name:
                raise DataError(f"{place}: the name is empty.")
            keys.append(key_of(self._exact(part, row)))
            labels.append(names.code(row.label))
            splits.append(_split_of(part, row, place))
        numbers = names.close()
        self.classes = names.classes
        others = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
        names.where = f"{self._called(parts[0])}{others}"
        names.tell(self.account)
        all_keys = np.frombuffer(keys, np.uint64) if keys else np.empty(0, np.uint64)
        order = np.argsort(all_keys, kind="stable")
        self._keys = all_keys[order]
        self._labels = numbers[np.array(labels, np.int32)][order]
        self._splits = self._with_a_test(np.array(splits, np.int8))[order]
        self._drop_repeated()
        self._loose_keys = np.empty(0, np.uint64)  # of files whose names are written otherwise
        self._loose_rows = np.empty(0, np.int64)
        self._matched = False

    @property
    def files(self) -> list[str]:
        """The tables' files, below the root where they are inside."""
        return [self._called(part) for part in self.parts]

    def find(self, name: str) -> tuple[int | None, str | None, int]:
        """The label and the split of an image, None where the table has none, and its row."""
        key = np.uint64(key_of(name))
        row = _place(self._keys, key)
        if row < 0 and len(self._loose_keys):
            place = _place(self._loose_keys, key)
            row = int(self._loose_rows[place]) if place >= 0 else -1
        if row < 0:
            return None, None, -1
        label, split = int(self._labels[row]), int(self._splits[row])
        return None if label < 0 else label, None if split < 0 else SPLITS[split], row

    def lists(self, name: str) -> bool:
        """Whether a row has exactly this name."""
        return _place(self._keys, np.uint64(key_of(name))) >= 0

    def __len__(self) -> int:
        return len(self._keys)

    def match(self, paths: Paths) -> None:
        """Find the file of every row, also where its name is written in another way.

        Args:
            paths: lists the files anew at each call; it is called once where all names are exact.
        Raises:
            DataError: rows have no file, or more than one could be meant, or two rows that mean one
                file have different labels.
        """
        if self._matched:
            return
        found = np.zeros(len(self), bool)
        listing = iter(paths())
        while chunk := list(islice(listing, CHUNK)):
            rows = _places(self._keys, np.fromiter(map(key_of, chunk), np.uint64, len(chunk)))
            found[rows[rows >= 0]] = True
        missing = ~found
        loose: dict[int, int] = {}  # of the files that are found now, the row of each
        unclear: dict[int, str] = {}
        for form in FORMS:
            if not missing.any():
                break
            self._match_by(form, paths, missing, loose, unclear)
        if missing.any():
            self._refuse(missing, paths, unclear)
        keys = np.fromiter(loose, np.uint64, len(loose))
        order = np.argsort(keys)
        self._loose_keys = keys[order]
        self._loose_rows = np.fromiter(loose.values(), np.int64, len(loose))[order]
        self._matched = True

    def _match_by(
        self,
        form: Form,
        paths: Paths,
        missing: NDArray[np.bool_],
        loose: dict[int, int],
        unclear: dict[int, str],
    ) -> None:
        written, files = array("Q"), array("Q")
        for path in paths():
            file = key_of(path)
            for text in form.of_path(path):
                written.append(file if text == path else key_of(text))
                files.append(file)
        by_form = np.array(written, np.uint64)
        order = np.argsort(by_form, kind="stable")
        by_form, by_file = by_form[order], np.array(files, np.uint64)[order]
        reason = f"of the names in {self._called(self.parts[0])} matched in spite of {form.said}"
        listing = iter(self._missing_rows(missing))
        while chunk := list(islice(listing, CHUNK)):
            wanted = [
                (place, part, row, text)
                for place, part, row in chunk
                for text in form.of_name(self._whole(part, row), self.root)
            ]
            keys = np.fromiter((key_of(text) for *_, text in wanted), np.uint64, len(wanted))
            low, high = np.searchsorted(by_form, keys), np.searchsorted(by_form, keys, "right")
            tried: set[int] = set()
            for number in np.flatnonzero(low < high).tolist():
                place, part, row, text = wanted[number]
                if place in tried or not missing[place]:
                    continue
                if high[number] - low[number] > 1:
                    tried.add(place)
                    unclear.setdefault(place, text)
                    continue
                self._claim(int(by_file[low[number]]), place, loose, part, row)
                missing[place] = False
                self.account.add("understood", reason, row.name)

    def _missing_rows(self, missing: NDArray[np.bool_]) -> Iterator[tuple[int, Part, Row]]:
        """Yield the rows that have no file, with their places."""
        listing = self._rows()
        while chunk := list(islice(listing, CHUNK)):
            keys = (key_of(self._exact(part, row)) for part, row in chunk)
            places = _places(self._keys, np.fromiter(keys, np.uint64, len(chunk)))
            for place, (part, row) in zip(places.tolist(), chunk, strict=True):
                if missing[place]:
                    yield place, part, row

    def _claim(self, file: int, row: int, loose: dict[int, int], part: Part, read: Row) -> None:
        """Give a file to a row, unless another row that says something else has it."""
        other = _place(self._keys, np.uint64(file))
        other = other if other >= 0 else loose.get(file, -1)
        if other < 0:
            loose[file] = row
        elif (self._labels[other], self._splits[other]) != (self._labels[row], self._splits[row]):
            raise DataError(
                f"{part.table.path}:{read.line}: '{read.name}' has the file of "
                f"'{self._name_of(int(self._keys[other]))}', but not its label."
            )

    def _refuse(self, missing: NDArray[np.bool_], paths: Paths, unclear: dict[int, str]) -> None:
        rows = np.flatnonzero(missing)
        name = self._name_of(int(self._keys[rows[0]]))
        problem = (
            f"{self.path}: {len(rows):,} of its {len(self):,} names are no files in {self.root}, "
            f"such as '{name}'; names are paths below that folder."
        )
        both = next((row for row in unclear if missing[row]), None)
        if both is not None:
            wanted, text = self._name_of(int(self._keys[both])), unclear[both]
            files = [path for path in paths() if any(text in f.of_path(path) for f in FORMS)]
            raise DataError(
                f"{problem} '{wanted}' could be {' or '.join(map(repr, sorted(files)[:2]))}: write "
                "the one that is meant."
            )
        like = nearest(name, paths())
        if like:
            raise DataError(f"{problem} The nearest file is '{like}'.")
        first = min(paths(), default="")
        other = f" The files there are such as '{first}'." if first else ""
        raise DataError(f"{problem}{other}")

    def _drop_repeated(self) -> None:
        same = np.flatnonzero(self._keys[1:] == self._keys[:-1]) + 1
        labels, splits = self._labels, self._splits
        differs = (labels[same] != labels[same - 1]) | (splits[same] != splits[same - 1])
        if differs.any():
            first = same[np.flatnonzero(differs)[0]]
            said = [self._class_of(int(labels[row])) for row in (first - 1, first)]
            how = f" with {said[0]} and {said[1]}" if said[0] != said[1] else " in two splits"
            raise DataError(
                f"{self.path}: {self._name_of(int(self._keys[first]))} is listed twice{how}."
            )
        if len(same):
            self.account.say(
                "understood",
                f"rows of {self._called(self.parts[0])} that repeat another: {len(same):,}",
            )
            keep = np.ones(len(self._keys), bool)
            keep[same] = False
            self._keys, self._labels = self._keys[keep], labels[keep]
            self._splits = splits[keep]

    def _with_a_test(self, splits: NDArray[np.int8]) -> NDArray[np.int8]:
        """Make test of validation where there is no other test set; without one, nothing counts."""
        has = set(np.unique(splits).tolist())
        if TEST in has:
            return splits
        if EVAL not in has and all(part.folders_split for part in self.parts):
            return np.full_like(splits, -1)
        return np.where(splits == EVAL, TEST, splits).astype(np.int8)

    def _class_of(self, number: int) -> str:
        return f"the label '{self.classes[number]}'" if number >= 0 else "no label"

    def _called(self, part: Part) -> str:
        path = part.table.path
        inside = path.is_relative_to(self.root)
        return path.relative_to(self.root).as_posix() if inside else str(path)

    def _name_of(self, key: int) -> str:
        return next(
            self._whole(part, row)
            for part, row in self._rows()
            if key_of(self._exact(part, row)) == key
        )

    def _whole(self, part: Part, row: Row) -> str:
        return part.folder + row.name if not row.name.startswith("/") else row.name

    def _exact(self, part: Part, row: Row) -> str:
        return part.folder + row.name.removeprefix("./")

    def _rows(self) -> Iterator[tuple[Part, Row]]:
        for part in self.parts:
            for row in part.table.rows():
                yield part, row


def _split_of(part: Part, row: Row, place: str) -> int:
    if row.split:
        word = split_of(row.split)
        if word is None:
            raise DataError(
                f"{place}: the split is '{row.split}', but must be train, validation or test."
            )
        return SPLITS.index(word)
    word = part.split
    if word is None and part.folders_split and "/" in row.name:
        word = split_of(row.name.removeprefix("./").partition("/")[0])
    return SPLITS.index(word) if word else -1


def _place(keys: NDArray[np.uint64], key: np.uint64) -> int:
    """The place of a key among sorted ones; -1 if it is not among them."""
    place = int(np.searchsorted(keys, key))
    return place if place < len(keys) and keys[place] == key else -1


def _places(keys: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    if not len(keys):
        return np.full(len(wanted), -1)
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[found] == wanted, found, -1)
