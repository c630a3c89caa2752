"""The column of images in Parquet files: bytes, or paths of files outside where they are null."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raymoco.data.sources.unreadable import Unreadable, read_file
from raymoco.errors import DataError

EXPECTED = "encoded images (PNG, JPEG, ...) as bytes, or a struct of bytes and path"
NO_FILE = "rows without bytes whose path is no file"


class ImageColumn:
    """What a column of images has in each file of a folder.

    Args:
        root: the folder.
        column: its name.
    """

    def __init__(self, root: Path, column: str) -> None:
        self.root, self.column = root, column

    def check(self, name: str, file: pq.ParquetFile) -> None:
        """Refuse a file whose column holds no images; `name` is its path below the root.

        Raises:
            DataError: says what it holds, and what is expected.
        """
        where = f"{self.root / name}: the column '{self.column}'"
        kind = file.schema_arrow.field(self.column).type
        if pa.types.is_struct(kind):
            fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
            if not fields.keys() & {"bytes", "path"}:
                raise DataError(f"{where} holds {kind}, but must hold {EXPECTED}.")
            kind = fields.get("bytes", pa.binary())
        if _is_text(kind):
            raise DataError(
                f"{where} holds {kind}, but must hold {EXPECTED}. A table of paths is read by "
                "data.source=files, with data.root set to the table itself."
            )
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or _is_fixed_list(kind):
            raise DataError(
                f"{where} holds {kind}, but must hold {EXPECTED}: pixels in lists are not read; "
                "write each image as a PNG."
            )
        if not _is_binary(kind) and not pa.types.is_null(kind):
            raise DataError(f"{where} holds {kind}, but must hold {EXPECTED}.")
        first = None
        for group in range(file.num_row_groups):
            if self._nulls(file, group) == file.metadata.row_group(group).num_rows:
                for text in filter(None, self._paths(file, group)):
                    if self._find(name, text) is not None:
                        return
                    first = first or text
        if first is not None:
            raise DataError(
                f"{where} has the path '{first}' and no bytes, but that is no file in "
                f"{(self.root / name).parent} or {self.root}, and so it is with all others. "
                f"Expected are {EXPECTED}; paths begin at the file or at data.root."
            )

    def content(self, name: str, value: Any) -> bytes:
        """The encoded image of a row of a file; empty where there is none."""
        if not isinstance(value, dict):
            return value or b""
        found = value.get("bytes")
        if found is not None or not value.get("path"):
            return found or b""
        path = self._find(name, value["path"])
        return Unreadable(NO_FILE) if path is None else read_file(path, NO_FILE)

    def sizes(self, name: str, file: pq.ParquetFile, group: int) -> list[int] | None:
        """The bytes of each image of a row group whose images all lie outside; else None."""
        rows = file.metadata.row_group(group).num_rows
        if not rows or self._nulls(file, group) != rows:
            return None
        found = (self._find(name, path) if path else None for path in self._paths(file, group))
        return [max(1, path.stat().st_size) if path else 1 for path in found]

    def outside(self, name: str, file: pq.ParquetFile) -> Iterator[str]:
        """Yield the files outside that rows without bytes may name, as below the root."""
        for group in range(file.num_row_groups):
            if self._nulls(file, group):
                for text in self._paths(file, group):
                    path = self._find(name, text) if text else None
                    if path is not None:
                        inside = path.is_relative_to(self.root)
                        yield path.relative_to(self.root).as_posix() if inside else str(path)

    def _nulls(self, file: pq.ParquetFile, group: int) -> int:
        """How many rows have a path and no bytes; 0 where the file does not say."""
        kind = file.schema_arrow.field(self.column).type
        if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
            return 0
        size = file.metadata.row_group(group)
        if kind.get_field_index("bytes") < 0:
            return int(size.num_rows)
        for number in range(size.num_columns):
            column = size.column(number)
            if column.path_in_schema == f"{self.column}.bytes":
                known = column.statistics is not None and column.statistics.has_null_count
                return int(column.statistics.null_count) if known else 0
        return 0

    def _paths(self, file: pq.ParquetFile, group: int) -> list[str | None]:
        table = file.read_row_group(group, columns=[f"{self.column}.path"])
        return [value and value["path"] for value in table.column(0).to_pylist()]

    def _find(self, name: str, text: str) -> Path | None:
        plain = text.replace("\\", "/")
        places = ((self.root / name).parent / plain, self.root / plain)
        return next((path for path in places if os.path.isfile(path)), None)


def value_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values of a column, without the dictionary that may encode them."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    kind = value_type(kind)
    is_ = pa.types
    return bool(is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind))


def _is_fixed_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))


def _is_binary(kind: pa.DataType) -> bool:
    is_ = pa.types
    return bool(
        is_.is_binary(kind)
        or is_.is_large_binary(kind)
        or is_.is_fixed_size_binary(kind)
        or is_.is_binary_view(kind)
    )
