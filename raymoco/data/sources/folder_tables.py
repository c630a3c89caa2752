"""Which table tells the labels of a folder of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from raymoco.config import DataConfig
from raymoco.data.account import Account
from raymoco.data.sources.labels_csv import LabelTable, Part
from raymoco.data.sources.parquet import mapped_columns
from raymoco.data.sources.split_words import split_of
from raymoco.data.sources.tables import Table
from raymoco.errors import DataError
from raymoco.files import absolute

TABLE = "labels.csv"
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # Hugging Face's image folders


def labels_file(data: DataConfig) -> Path | None:
    """The table that `data.labels_csv` names, from the working directory or from the root.

    Raises:
        DataError: there is no such file.
    """
    if data.labels_csv is None:
        return None
    here = absolute(data.labels_csv)
    there = absolute(data.root or ".") / data.labels_csv
    found = next((path for path in (here, there) if path.is_file()), None)
    if found is None:
        also = "" if here == there else f", nor is {there}"
        raise DataError(f"data.labels_csv is '{data.labels_csv}', but {here} is no file{also}.")
    return found


def find_table(data: DataConfig, root: Path, account: Account) -> LabelTable | None:
    """The table that replaces the meaning of the folders below `root`; None if there is none.

    It is the one that `data.labels_csv` names, else labels.csv, else Hugging Face's metadata files.

    Args:
        account: gets a remark on metadata that has no labels, and so is not used.
    Raises:
        DataError: a table cannot be understood.
    """
    mapped = mapped_columns(data)
    given = labels_file(data)
    if given is None and (root / TABLE).is_file():
        given = root / TABLE
    if given is not None:
        hugging = given.name in METADATA
        inside = hugging and given.is_relative_to(root) and given.parent != root
        folder = f"{given.parent.relative_to(root).as_posix()}/" if inside else ""
        parts = [Part(Table(given, mapped), folder, folders_split=hugging)]
    else:
        parts = list(_metadata(root, account))
    return LabelTable(parts, root) if parts else None


def _metadata(root: Path, account: Account) -> Iterator[Part]:
    for folder in [root, *_inner(root), *_inner(root / "data")]:
        path = next((folder / name for name in METADATA if os.path.isfile(folder / name)), None)
        table = path and _table(path)
        if not table or not table.said_name("file_name"):
            continue
        below = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        if not table.labelled:
            shown = ", ".join(table.columns[:5])
            account.say(
                "understood",
                f"{below}{table.path.name} has no labels ({shown}): it is not used",
            )
            continue
        split = split_of(folder.name) if below else None
        yield Part(table, below, split, folders_split=True)


def _inner(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if os.path.isdir(path))
    except OSError:
        return []  # there is none, or the walk says that it cannot be opened


def _table(path: Path) -> Table | None:
    try:
        return Table(path, bare=True)
    except DataError:
        return None  # it is some other table, which nobody has named
