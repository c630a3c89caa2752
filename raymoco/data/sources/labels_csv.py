"""A CSV of names and labels beside a folder of images."""

from __future__ import annotations

import csv
import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raymoco.errors import DataError

COLUMNS = "a column 'name' and a column 'label', and 'split' (train or test) if you like"
SPLIT_CODES = {"": -1, "train": 0, "test": 1}


class LabelTable:
    """The content of labels.csv in 13 bytes per image, independent of the names.

    Attributes:
        classes: the labels that occur, as numbers if all are whole numbers, else as text, sorted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        words: dict[str, int] = {}
        keys, labels, splits = array("Q"), array("i"), array("b")
        for line, name, label, split in self._lines():
            if not name:
                raise DataError(f"{path}:{line}: the name is empty.")
            if split not in SPLIT_CODES:
                raise DataError(
                    f"{path}:{line}: the split is '{split}', but must be train or test."
                )
            keys.append(_key(name))
            labels.append(words.setdefault(label, len(words)) if label else -1)
            splits.append(SPLIT_CODES[split])
        whole = all(word.removeprefix("-").isdecimal() for word in words)
        ordered = sorted(words, key=int) if whole else sorted(words)
        self.classes: tuple[str, ...] = tuple(ordered)
        numbers = np.full(len(words) + 1, -1, np.int32)  # the last one is for -1: no label
        for number, word in enumerate(ordered):
            numbers[words[word]] = number
        key_array = np.frombuffer(keys, np.uint64) if keys else np.empty(0, np.uint64)
        order = np.argsort(key_array, kind="stable")
        self._keys = key_array[order]
        self._labels = numbers[np.array(labels, np.int32)][order]
        self._splits = np.array(splits, np.int8)[order]
        twice = np.flatnonzero(self._keys[1:] == self._keys[:-1])
        if len(twice):
            raise DataError(f"{path}: {self._name_of(int(self._keys[twice[0]]))} is listed twice.")

    def find(self, name: str) -> tuple[int | None, str | None, int]:
        """The label and the split of an image, None where the table has none, and its row."""
        key = _key(name)
        row = int(np.searchsorted(self._keys, np.uint64(key)))
        if row == len(self._keys) or int(self._keys[row]) != key:
            return None, None, -1
        label, split = int(self._labels[row]), int(self._splits[row])
        return None if label < 0 else label, None if split < 0 else ("train", "test")[split], row

    def __len__(self) -> int:
        return len(self._keys)

    def refuse_missing(self, found: np.ndarray[tuple[int], np.dtype[np.bool_]], root: Path) -> None:
        """Raise a DataError that names the first listed image that has no file.

        Args:
            found: (rows,), which rows belong to a file.
        """
        if not found.all():
            missing = np.flatnonzero(~found)
            name = self._name_of(int(self._keys[missing[0]]))
            raise DataError(
                f"{self.path}: {len(missing)} of its {len(found)} names are no files in {root}, "
                f"such as '{name}'; names are paths below that folder."
            )

    def _name_of(self, key: int) -> str:
        return next(f"'{name}'" for _, name, _, _ in self._lines() if _key(name) == key).strip("'")

    def _lines(self) -> Iterator[tuple[int, str, str, str]]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, skipinitialspace=True)
                columns = reader.fieldnames or ()
                if "name" not in columns or "label" not in columns:
                    raise DataError(
                        f"{self.path}: has the columns {', '.join(columns) or '(none)'}, but must "
                        f"have {COLUMNS}."
                    )
                for row in reader:
                    values = [(row.get(key) or "").strip() for key in ("name", "label", "split")]
                    yield reader.line_num, values[0].removeprefix("./"), values[1], values[2]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{self.path}: cannot be read as CSV: {error}") from None


def _key(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
