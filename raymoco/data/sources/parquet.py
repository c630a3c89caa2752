"""Parquet files: image bytes in a column, or Hugging Face's struct of bytes and path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raymoco.config import DataConfig
from raymoco.data.sources.source import Entry, SourceImage, stat_fingerprint
from raymoco.errors import ConfigError, DataError
from raymoco.files import absolute

COLUMNS = ("id", "image", "label")
TEST_WORDS = ("test", "validation", "valid", "val")


class ParquetSource:
    """A folder of Parquet files with one image per row.

    `data.columns` maps id, image and label to the files' column names; by default they are called
    id, image and label. Images are encoded bytes or a struct with `bytes`; labels are integers (-1
    or null: none) or text. Without a column of ids an id is FILE:ROW; ids in a column must be
    unique. Files whose name or folder begins with `test` or `validation` are the test set; without
    such files a fixed 20 % of the labeled images is.
    """

    name = "shards"

    def __init__(self, data: DataConfig) -> None:
        if not data.root:
            raise ConfigError(
                "data.root is null, but data.source shards needs a folder of Parquet files."
            )
        self._root = absolute(data.root)
        self._mapped = mapped_columns(data)
        unknown = sorted(set(self._mapped) - set(COLUMNS))
        if unknown:
            raise ConfigError(
                f"data.columns maps {unknown[0]}, but must map only {', '.join(COLUMNS)}."
            )
        self._columns = {key: self._mapped.get(key, key) for key in COLUMNS}
        found = self._root.rglob("*.parquet")
        self._files = sorted(
            path.relative_to(self._root).as_posix()
            for path in found
            if not any(part.startswith(".") for part in path.relative_to(self._root).parts)
        )
        if not self._files:
            raise DataError(
                f"{self._root}: holds no *.parquet file. Put the files there, each with a column "
                "of encoded images and maybe one of labels, or set data.root to their folder."
            )
        self._tests = self._test_files()
        self._has = self._check_schema()
        self.classes, self._numbers = self._find_classes()

    def entries(self) -> Iterator[Entry]:
        for name in self._files:
            path = self._root / name
            with _opened(path) as file:
                first = 0
                for group in range(file.num_row_groups):
                    size = file.metadata.row_group(group)
                    each = max(1, size.total_byte_size // max(1, size.num_rows))
                    ids, labels = self._index(path, file, group)
                    for row, label in enumerate(labels):
                        image_id = ids[row] if ids else f"{name}:{first + row}"
                        if not isinstance(image_id, str | int):
                            raise DataError(f"{path}: row {first + row} has the id {image_id!r}.")
                        number = self._number(label, path)
                        place = f"{name}:{group}:{row}"
                        split = self._split(name)
                        yield Entry(str(image_id), number, split, place, each, f"{name}:{group}")
                    first += size.num_rows

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        wanted: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for number, place in enumerate(places):
            name, in_file, in_group = place.rsplit(":", 2)
            wanted.setdefault((name, int(in_file)), []).append((number, int(in_group)))
        images: list[bytes] = [b""] * len(places)
        for (name, group), rows in sorted(wanted.items()):
            path = self._root / name
            with _opened(path) as file:
                column = _read_group(path, file, group, [self._columns["image"]]).column(0)
            # without copying the other rows
            for number, row in rows:
                value = column[row].as_py()
                found = value.get("bytes") if isinstance(value, dict) else value
                images[number] = found or b""
        yield from images

    def fingerprint(self) -> str:
        try:
            return stat_fingerprint(self._root, self._files)
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None

    def _test_files(self) -> set[str]:
        found: dict[str, set[str]] = {}
        for name in self._files:
            for part in name.lower().split("/"):
                word = next((word for word in TEST_WORDS if part.startswith(word)), None)
                if word:
                    found.setdefault("test" if word == "test" else "validation", set()).add(name)
        if len(found) > 1:
            raise DataError(
                f"{self._root}: has test and validation files, but one test set is enough (the "
                "evaluation split is taken from the training images): move the others away."
            )
        return next(iter(found.values()), set())

    def _check_schema(self) -> set[str]:
        """Return which of id, image and label every file has."""
        has: set[str] = set(COLUMNS)
        for name in self._files:
            path = self._root / name
            with _opened(path) as file:
                schema = file.schema_arrow
            names = ", ".join(schema.names)
            for key, column in self._columns.items():
                if column in schema.names:
                    continue
                if key == "image" or key in self._mapped:
                    raise ConfigError(
                        f"{path}: has no column '{column}'; it has {names}. Say which one holds "
                        f"the {key}, such as data.columns.{key}={schema.names[0]}."
                    )
                has.discard(key)
            kind = schema.field(self._columns["image"]).type
            if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
                kind = kind.field("bytes").type
            if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
                raise DataError(
                    f"{path}: the column '{self._columns['image']}' holds {kind}, but must hold "
                    "encoded images as bytes, or a struct with bytes."
                )
        return has

    def _find_classes(self) -> tuple[tuple[str, ...], dict[Any, int]]:
        """The classes, and the class number of each value in the label column."""
        values: set[Any] = set()
        names: list[str] | None = None
        for name in self._files if "label" in self._has else ():
            path = self._root / name
            with _opened(path) as file:
                names = names or _class_names(file.schema_arrow, self._columns["label"])
                for group in range(file.num_row_groups):
                    values.update(self._index(path, file, group)[1])
        values -= {None, -1, ""}
        if all(isinstance(value, str) for value in values):
            words = sorted(values)
            return tuple(words), {word: number for number, word in enumerate(words)}
        wrong = [v for v in values if isinstance(v, bool) or not isinstance(v, int) or v < 0]
        if wrong:
            raise DataError(
                f"{self._root}: the column '{self._columns['label']}' holds {wrong[0]!r}, but must "
                "hold text, or whole numbers from 0 (-1 or null: no label)."
            )
        count = max(values) + 1
        if names is not None and len(names) >= count:
            return tuple(names), {number: number for number in range(len(names))}
        return tuple(map(str, range(count))), {number: number for number in range(count)}

    def _index(
        self, path: Path, file: pq.ParquetFile, group: int
    ) -> tuple[list[Any] | None, list[Any]]:
        """The ids, if there are any, and the labels of a row group as they are stored."""
        wanted = [self._columns[key] for key in ("id", "label") if key in self._has]
        rows = file.metadata.row_group(group).num_rows
        if not wanted:
            return None, [None] * rows
        table = _read_group(path, file, group, wanted)
        ids = table.column(self._columns["id"]).to_pylist() if "id" in self._has else None
        labels = [None] * rows
        if "label" in self._has:
            labels = table.column(self._columns["label"]).to_pylist()
        return ids, labels

    def _number(self, label: Any, path: Path) -> int | None:
        if label is None or label == -1 or label == "":
            return None
        if label not in self._numbers:
            raise DataError(f"{path}: has changed while it was read: the label {label!r} is new.")
        return self._numbers[label]

    def _split(self, name: str) -> str | None:
        return ("test" if name in self._tests else "train") if self._tests else None


def mapped_columns(data: DataConfig) -> dict[str, str]:
    """The entries of `data.columns` that are not null."""
    columns: Any = getattr(data, "columns", None)
    return {key: name for key, name in dict(columns or {}).items() if name is not None}


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {str(error).strip()}") from None


def _read_group(path: Path, file: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
    try:
        return file.read_row_group(group, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: row group {group}: {str(error).strip()}") from None


def _class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The class names that Hugging Face's `datasets` wrote into the file, if any."""
    stored = (schema.metadata or {}).get(b"huggingface")
    if stored is None:
        return None
    try:
        names = json.loads(stored)["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError):
        return None  # written by another version, or not a class label: numbers are used
    return [str(name) for name in names] if isinstance(names, list) else None
