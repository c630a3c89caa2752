"""Tables of names and labels: CSV in any of its dialects, JSON lines, or Parquet."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from raymoco.data.sources.table_columns import choose, has_suffix, is_usual
from raymoco.errors import DataError

TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet", ".pq")
SAMPLE = 100  # rows that are looked at before it is decided what the columns are
DELIMITERS = (",", ";", "\t", "|")
BOMS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


class Row(NamedTuple):
    """A row of a table; `line` counts from 1, `label` is as it is stored."""

    line: int
    name: str
    label: Any
    split: str


class Table:
    """A file with a name and maybe a label in each row; it is read again for each use.

    Attributes:
        said: how its columns were understood, if that is not plain; "" if it is.
        labelled: whether it has labels.
        columns: its header.
        label_column: of these, the one with labels; "" if none has.
    """

    def __init__(
        self, path: Path, mapped: Mapping[str, str] | None = None, *, bare: bool = False
    ) -> None:
        """See `choose` for the arguments.

        Raises:
            DataError: see `choose`; or it cannot be read.
        """
        self.path = path
        self._form = _form(path)
        self._header, self._first = self._form.header()
        rows = (row for _, row in itertools.islice(self._form.rows(self._first), SAMPLE))
        sample = list(rows)
        chosen = choose(self._header, sample, mapped or {}, str(path), bare=bare)
        self._name, self._label, self._split = chosen.name, chosen.label, chosen.split
        self.labelled = chosen.label is not None
        self.said = chosen.said
        if isinstance(self._form, _Text) and self._form.bare:
            second = ", labels in the second" if self.labelled else ""
            self.said = f"has no header; names are read in the first column{second}"
        self.columns = tuple(map(str, self._header))
        self.label_column = "" if chosen.label is None else self.columns[chosen.label]
        self._words = _class_words(self._form, self._header, self._label)

    def said_name(self, column: str) -> bool:
        """Whether the names stand in the column of this name."""
        return self.columns[self._name] == column

    def rows(self) -> Iterator[Row]:
        """Yield every row that is not blank."""
        width, words = len(self._header), self._words
        name_at, label_at, split_at = self._name, self._label, self._split
        for line, row in self._form.rows(self._first):
            size = len(row)
            if size > width and any(row[width:]):
                raise DataError(
                    f"{self.path}:{line}: has {size} values, but there are {width} columns: a "
                    "name with the separator in it must stand in quotes."
                )
            name = row[name_at] if name_at < size else None
            label = row[label_at] if label_at is not None and label_at < size else None
            split = row[split_at] if split_at is not None and split_at < size else None
            if words is not None and type(label) is int and 0 <= label < len(words):
                label = words[label]
            yield Row(
                line,
                "" if name is None else str(name).strip(),
                label,
                "" if split is None else str(split).strip(),
            )


class _Text:
    """Comma-separated values, and their relatives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.encoding = encoding_of(path)
        self.delimiter = ","
        self.bare = False  # without a header

    def header(self) -> tuple[list[str], int]:
        """The header, and the number of lines to pass over before the rows."""
        lines = [line.lstrip("\ufeff") for line in itertools.islice(self._lines(), 20)]
        skip = next((number for number, line in enumerate(lines) if line.strip()), 0)
        if skip < len(lines) and lines[skip].lower().startswith("sep="):  # Excel's
            self.delimiter = lines[skip].strip()[4:] or ","
            skip += 1
        elif skip < len(lines):
            parts = {one: _split(lines[skip], one) for one in DELIMITERS}
            self.delimiter = max(
                parts, key=lambda one: (sum(map(is_usual, parts[one])), len(parts[one]))
            )
        if skip >= len(lines):
            return [], 0
        header = _split(lines[skip], self.delimiter)
        if has_suffix(header[0]) and len(header) <= 2 and not any(map(has_suffix, header[1:])):
            self.bare = True
            return ["name", "label"][: len(header)], skip
        return header, skip + 1

    def rows(self, first: int) -> Iterator[tuple[int, Sequence[Any]]]:
        reader = csv.reader(
            itertools.islice(self._lines(), first, None),
            delimiter=self.delimiter,
            skipinitialspace=True,
        )
        try:
            for row in reader:
                if any(row):
                    yield reader.line_num + first, [value.strip() for value in row]
        except csv.Error as error:
            raise DataError(
                f"{self.path}:{reader.line_num + first}: cannot be read as CSV: {error}"
            ) from None

    def _lines(self) -> Iterator[str]:
        return lines_of(self.path, self.encoding, "CSV")


class _JsonLines:
    """An object in each line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.encoding = encoding_of(path)
        self.keys: list[str] = []

    def header(self) -> tuple[list[str], int]:
        found = itertools.islice(self._objects(), SAMPLE)
        self.keys = list(dict.fromkeys(key for _, row in found for key in row))
        return self.keys, 0

    def rows(self, first: int) -> Iterator[tuple[int, Sequence[Any]]]:
        for line, row in self._objects():
            yield line, [row.get(key) for key in self.keys]

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for line, text in enumerate(lines_of(self.path, self.encoding, "JSON"), start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                raise DataError(f"{self.path}:{line}: is no JSON: {error}.") from None
            if not isinstance(row, dict):
                raise DataError(
                    f"{self.path}:{line}: is no object, but each line must be one, such as "
                    '{"file_name": "0001.png", "label": "cat"}.'
                )
            yield line, row


class _Parquet:
    """A table of Parquet; nothing but its columns of one value a row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.schema: pa.Schema = None

    def header(self) -> tuple[list[str], int]:
        with self._opened() as file:
            self.schema = file.schema_arrow
        return list(self.schema.names), 0

    def rows(self, first: int) -> Iterator[tuple[int, Sequence[Any]]]:
        plain = [
            name if not pa.types.is_struct(self.schema.field(name).type) else None
            for name in self.schema.names
        ]
        try:
            with self._opened() as file:
                line = 0
                for batch in file.iter_batches(1000, columns=[name for name in plain if name]):
                    columns = [
                        batch.column(name).to_pylist() if name else itertools.repeat(None)
                        for name in plain
                    ]
                    # a table without columns of values has no rows to give
                    for row in zip(*columns, strict=False) if any(plain) else ():
                        line += 1
                        yield line, row
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self.path}: cannot be read: {str(error).strip()}") from None

    def _opened(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path)
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{self.path}: cannot be read as Parquet: {str(error).strip()}"
            ) from None


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The class names that Hugging Face's `datasets` wrote into a Parquet file, if any."""
    stored = (schema.metadata or {}).get(b"huggingface")
    if stored is None:
        return None
    try:
        names = json.loads(stored)["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError):
        return None  # written by another version, or not a class label: numbers are used
    return [str(name) for name in names] if isinstance(names, list) else None


def _form(path: Path) -> _Text | _JsonLines | _Parquet:
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _Parquet(path)
    return _JsonLines(path) if suffix in (".jsonl", ".ndjson", ".json") else _Text(path)


def _class_words(
    form: _Text | _JsonLines | _Parquet, header: Sequence[str], label: int | None
) -> list[str] | None:
    if not isinstance(form, _Parquet) or label is None:
        return None
    return class_names(form.schema, header[label])


def _split(line: str, delimiter: str) -> list[str]:
    row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    return [value.strip() for value in row]


def encoding_of(path: Path) -> str:
    """The encoding of a text file, by its first bytes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return encoding_in(file.read(400))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None


def encoding_in(head: bytes) -> str:
    """The encoding of the text that begins with these bytes."""
    known = next((name for bom, name in BOMS.items() if head.startswith(bom)), None)
    if known is None and b"\0" in head:
        return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
    return known or "utf-8"


def lines_of(path: Path, encoding: str, what: str) -> Iterator[str]:
    """Yield the lines of a text file; `what` says in an error what it should have been.

    Raises:
        DataError: it cannot be read, or is encoded otherwise.
    """
    try:
        with path.open(encoding=encoding, newline="") as file:
            yield from file
    except UnicodeDecodeError as error:
        byte = error.object[error.start : error.start + 1].hex()
        raise DataError(
            f"{path}: cannot be read as {what}: it is no {encoding.upper().removesuffix('-SIG')} "
            f"(the byte 0x{byte}). If it was saved as Latin-1 or Windows-1252, convert it: "
            f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > new-{path.name}"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read as {what}: {error.strerror}") from None
