"""Parquet files: image bytes in a column, or Hugging Face's struct of bytes and path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raymoco.config import DataConfig
from raymoco.data.account import Account
from raymoco.data.sources.file_splits import files_below, splits_of
from raymoco.data.sources.labels import EXPECTED, Labels
from raymoco.data.sources.parquet_images import ImageColumn, value_type
from raymoco.data.sources.source import Entry, SourceImage, stat_fingerprint
from raymoco.data.sources.tables import class_names
from raymoco.errors import ConfigError, DataError
from raymoco.files import absolute

COLUMNS = ("id", "image", "label")


class ParquetSource:
    """A folder of Parquet files with one image per row.

    `data.columns` maps id, image and label to the files' column names; by default they are called
    id, image and label. Images are encoded bytes, or a struct with `bytes`, and `path` where bytes
    are null; labels are whole numbers (-1 or null: none), booleans or text. Without a column of ids
    an id is FILE:ROW; ids in a column must be unique. Files whose name or folder says `test` or
    `validation` are those splits (validation alone is the test set); without such files a fixed
    20 % of the labeled images is the test set.
    """

    name = "shards"  # its older name, in manifests and names of folders

    def __init__(self, data: DataConfig) -> None:
        if not data.root:
            raise ConfigError(
                "data.root is null, but data.source parquet needs a folder of Parquet files."
            )
        self._root = absolute(data.root)
        self._mapped = mapped_columns(data)
        unknown = sorted(set(self._mapped) - set(COLUMNS))
        if unknown:
            raise ConfigError(
                f"data.columns maps {unknown[0]}, but must map only {', '.join(COLUMNS)}."
            )
        self._columns = {key: self._mapped.get(key, key) for key in COLUMNS}
        self._account = Account()
        self._files = self._find_files()
        if not self._files:
            raise DataError(
                f"{self._root}: holds no *.parquet file. Put the files there, each with a column "
                "of encoded images and maybe one of labels, or set data.root to their folder."
            )
        self._splits = splits_of(self._files, self._root, self._account)
        self._images = ImageColumn(self._root, self._columns["image"])
        self._has = {name: self._check_schema(name) for name in self._files}
        self._tell_columns()
        self._labels = Labels(f"{self._root}: the column '{self._columns['label']}'")
        self._numbers = self._labels.close(self._find_labels())
        self._labels.tell(self._account)
        self.classes = self._labels.classes

    def entries(self) -> Iterator[Entry]:
        for name in self._files:
            path = self._root / name
            with opened(path) as file:
                first = 0
                for group in range(file.num_row_groups):
                    size = file.metadata.row_group(group)
                    each = max(1, size.total_byte_size // max(1, size.num_rows))
                    sizes = self._images.sizes(name, file, group)
                    ids, labels = self._index(name, file, group)
                    for row, label in enumerate(labels):
                        image_id = ids[row] if ids else f"{name}:{first + row}"
                        if not isinstance(image_id, str | int):
                            raise DataError(f"{path}: row {first + row} has the id {image_id!r}.")
                        code = self._labels.known(label)
                        number = None if code < 0 else int(self._numbers[code])
                        place = f"{name}:{group}:{row}"
                        split = self._splits.get(name)
                        bytes_ = sizes[row] if sizes else each
                        yield Entry(str(image_id), number, split, place, bytes_, f"{name}:{group}")
                    first += size.num_rows

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        wanted: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for number, place in enumerate(places):
            name, in_file, in_group = place.rsplit(":", 2)
            wanted.setdefault((name, int(in_file)), []).append((number, int(in_group)))
        images: list[bytes] = [b""] * len(places)
        for (name, group), rows in sorted(wanted.items()):
            path = self._root / name
            with opened(path) as file:
                column = read_group(path, file, group, [self._columns["image"]]).column(0)
            # without copying the other rows
            for number, row in rows:
                images[number] = self._images.content(name, column[row].as_py())
        yield from images

    def fingerprint(self) -> str:
        try:
            outside: list[str] = []
            for name in self._files:
                with opened(self._root / name) as file:
                    outside += self._images.outside(name, file)
            return stat_fingerprint(self._root, [*self._files, *sorted(set(outside))])
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None

    def account(self) -> Account:
        """See `KeepsAccount`."""
        return self._account

    def _find_files(self) -> list[str]:
        if self._root.is_file() and self._root.suffix == ".parquet":
            name, self._root = self._root.name, self._root.parent
            return [name]
        return files_below(self._root, (".parquet",), self._account)

    def _check_schema(self, name: str) -> set[str]:
        """Return which of id, image and label a file has."""
        path = self._root / name
        with opened(path) as file:
            schema = file.schema_arrow
            has = {key for key, column in self._columns.items() if column in schema.names}
            for key in COLUMNS:
                if key not in has and (key == "image" or key in self._mapped):
                    shown = ", ".join(schema.names)
                    raise ConfigError(
                        f"{path}: has no column '{self._columns[key]}'; it has {shown}. Say which "
                        f"one holds the {key}, such as data.columns.{key}={schema.names[0]}."
                    )
            if "label" in has:
                self._check_labels(path, value_type(schema.field(self._columns["label"]).type))
            self._images.check(name, file)
        return has

    def _check_labels(self, path: Path, kind: pa.DataType) -> None:
        types = pa.types
        if not (
            types.is_integer(kind)
            or types.is_floating(kind)
            or types.is_decimal(kind)
            or types.is_boolean(kind)
            or types.is_null(kind)
            or types.is_string(kind)
            or types.is_large_string(kind)
            or types.is_string_view(kind)
        ):
            raise DataError(
                f"{path}: the column '{self._columns['label']}' holds {kind}, but must hold "
                f"{EXPECTED}: one class for each image. Another column is named by "
                "data.columns.label."
            )

    def _tell_columns(self) -> None:
        without = [name for name, has in self._has.items() if "label" not in has]
        if len(without) == len(self._files):
            with opened(self._root / without[0]) as file:
                others = [n for n in file.schema_arrow.names if n not in self._columns.values()]
            if others:
                self._account.say(
                    "understood",
                    f"no image has a label: there is no column '{self._columns['label']}'; one of "
                    f"{', '.join(others[:10])} is named by data.columns.label",
                )
            return
        for name in without:
            self._account.add(
                "understood",
                f"without a column '{self._columns['label']}': images without a label",
                name,
            )

    def _find_labels(self) -> list[str] | None:
        """Collect the labels of all files; return the classes' names where a file has them."""
        names: list[str] | None = None
        for name in self._files:
            if "label" not in self._has[name]:
                continue
            path = self._root / name
            with opened(path) as file:
                names = names or class_names(file.schema_arrow, self._columns["label"])
                for group in range(file.num_row_groups):
                    column = self._column(path, file, group, "label")
                    for found in pc.value_counts(column).to_pylist():
                        self._labels.code(found["values"], found["counts"])
        return names

    def _index(
        self, name: str, file: pq.ParquetFile, group: int
    ) -> tuple[list[Any] | None, list[Any]]:
        """The ids, if there are any, and the labels of a row group as they are stored."""
        path, has = self._root / name, self._has[name]
        ids = self._column(path, file, group, "id").to_pylist() if "id" in has else None
        if "label" in has:
            return ids, self._column(path, file, group, "label").to_pylist()
        return ids, [None] * file.metadata.row_group(group).num_rows

    def _column(self, path: Path, file: pq.ParquetFile, group: int, key: str) -> Any:
        column = read_group(path, file, group, [self._columns[key]]).column(0)
        plain = value_type(column.type)
        return column if column.type == plain else column.cast(plain)


def mapped_columns(data: DataConfig) -> dict[str, str]:
    """The entries of `data.columns` that are not null."""
    columns: Any = getattr(data, "columns", None)
    return {key: name for key, name in dict(columns or {}).items() if name is not None}


def opened(path: Path) -> pq.ParquetFile:
    """Open a Parquet file.

    Raises:
        DataError: it cannot be read, or is none.
    """
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {str(error).strip()}") from None


def read_group(path: Path, file: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
    """Read some columns of a row group.

    Raises:
        DataError: they cannot be read.
    """
    try:
        return file.read_row_group(group, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: row group {group}: {str(error).strip()}") from None
