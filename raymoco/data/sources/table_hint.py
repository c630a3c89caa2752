"""Notice a table of labels that lies beside the images and is not used."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from raymoco.data.sources.folder_tables import METADATA
from raymoco.data.sources.parquet_images import value_type
from raymoco.data.sources.tables import encoding_in
from raymoco.data.sources.tree import Tree

PARQUET = (".parquet", ".pq")
TABLES = (".csv", ".tsv", ".tab", ".txt", *PARQUET)
ANNOTATIONS = (".json", ".jsonl", ".xml")
FILES = 20  # looked at in a folder
HEAD = 2**16  # bytes of a table
ROWS = 50
LINE = 2000  # characters of a heading
ENDINGS = ("", ".png", ".jpg", ".jpeg")  # of Kaggle's tables, whose ids have no suffix
_FILE_NAME = re.compile(r'"([^"\\]{1,200}\.(?:png|jpe?g|webp|tiff?|bmp|gif))"', re.IGNORECASE)


def unused_tables(tree: Tree, base: str) -> Iterator[str]:
    """Yield a sentence about each file at the top whose rows name images.

    Args:
        base: the folder below the root that has classes, splits or images.
    """
    folders = dict.fromkeys([tree.path(""), tree.path(base)])
    inner = ["/".join(filter(None, [base, name])) for name in tree.level(base).folders]
    places = [*folders, *map(tree.path, inner[:FILES])]
    for folder in places:
        for name in _candidates(folder):
            path = os.path.join(folder, name)
            below = os.path.relpath(path, tree.root)
            known = name.endswith(PARQUET) or "file_name" in _head(path)[:LINE]
            if name in METADATA and known:
                continue  # it is read without a key, or was told to have no labels
            if name.lower().endswith(TABLES):
                if any(_names_images(values, places) for values in _rows(path)):
                    yield (
                        f"{below} looks like a label table, and is not used; name it with "
                        f"data.labels_csv={path}"
                    )
            elif _names_images(_FILE_NAME.findall(_head(path)), places):
                yield (
                    f"{below} looks like annotations, which raymoco cannot read, so it is not "
                    "used; make a CSV with the columns name and label of it, and name that with "
                    "data.labels_csv"
                )


def _candidates(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as items:
            names = [
                item.name for item in items if item.name.lower().endswith(TABLES + ANNOTATIONS)
            ]
    except OSError:
        return []  # counted where the folder is walked
    return sorted(names)[:FILES]


def _rows(path: str) -> Iterator[list[str]]:
    """The columns of a table: a list of the values in its first rows, each."""
    if path.lower().endswith(PARQUET):
        yield from _parquet_columns(path)
        return
    lines = [line for line in _head(path).splitlines() if line.strip()][: ROWS + 1]
    if len(lines) < 2:
        return
    mark = max(",;\t|", key=lines[0].count)
    rows = (
        list(csv.reader(lines, delimiter=mark))
        if mark in lines[0]
        else [line.split() for line in lines]
    )
    if min(map(len, rows)) >= 2:  # one column is a list of names, and has no label
        yield from (list(column) for column in zip(*rows, strict=False))


def _parquet_columns(path: str) -> list[list[str]]:
    """The columns of text and whole numbers; pixels and encoded images are not read."""
    if not os.path.isfile(path):
        return []
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            plain = [name for name in schema.names if _may_name(schema.field(name).type)]
            if len(schema.names) < 2 or not plain:
                return []
            rows = next(file.iter_batches(ROWS, columns=plain), None)
        return [[str(value) for value in column.to_pylist()] for column in rows or ()]
    # two columns of one name, and text that is no UTF-8
    except (OSError, pa.ArrowException, KeyError, UnicodeDecodeError):
        return []  # is passed over as the file that it is


def _may_name(kind: pa.DataType) -> bool:
    kind = value_type(kind)
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)
    )


def _names_images(values: list[str], places: list[str]) -> bool:
    """Whether several of these values, and most of the first ones, are names of files."""
    found = sum(_is_file(value.strip(), places) for value in values[:ROWS])
    return found >= 3 and found * 2 >= min(len(values), ROWS)


def _is_file(value: str, places: list[str]) -> bool:
    if not value or "\0" in value:
        return False
    name = value.replace("\\", "/")
    return any(
        os.path.isfile(os.path.join(place, name + ending)) for place in places for ending in ENDINGS
    )


def _head(path: str) -> str:
    if not os.path.isfile(path):  # a pipe would never end
        return ""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
            return head.decode(encoding_in(head), "replace")
    except OSError:
        return ""  # counted where the folder is walked
