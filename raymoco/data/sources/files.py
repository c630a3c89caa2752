"""A list of files: paths or URIs of images in a table, read where they lie."""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlparse

import numpy as np
from pyarrow import fs

from raymoco.config import DataConfig
from raymoco.data.account import Account
from raymoco.data.sources.labels import Labels
from raymoco.data.sources.name_matching import key_of
from raymoco.data.sources.parquet import mapped_columns
from raymoco.data.sources.plain_list import PlainList
from raymoco.data.sources.source import Entry, SourceImage, check_ids, stat_fingerprint
from raymoco.data.sources.split_words import split_of
from raymoco.data.sources.tables import Row, Table
from raymoco.data.sources.unreadable import Unreadable, read_file
from raymoco.data.splits import in_test_split
from raymoco.errors import ConfigError, DataError
from raymoco.files import absolute

URI = re.compile(r"[a-z][a-z0-9+.\-]+://", re.IGNORECASE)
NO_FILE = "paths in the list that are no files"
REMOTE_BYTES = 2**17  # a guess, which the planner of shards corrects by looking at some
READERS = 16  # of remote files at once
ENTRIES_TRIED = 100


class Rows(Protocol):
    """A list that can be read again and again."""

    path: Path
    said: str

    def rows(self) -> Iterator[Row]: ...


class FilesSource:
    """A table of paths or URIs of images, with labels and splits if it has such columns.

    `data.root` is the table: CSV, TSV, JSON lines or Parquet, or a text file with a path in each
    line, maybe followed by a label. Relative paths begin at the table's folder. URIs are those of
    pyarrow's file systems (`s3://`, `gs://`, `hdfs://`) and `file://`. An image's id is what the
    table calls it.
    """

    name = "files"

    def __init__(self, data: DataConfig) -> None:
        if not data.root:
            raise ConfigError(
                "data.root is null, but data.source files needs a table of paths or URIs."
            )
        path = absolute(data.root)
        if not path.is_file():
            raise DataError(
                f"{path}: is no file, but data.source files needs a table of paths: CSV, TSV, JSON "
                "lines, Parquet, or a text file with a path in each line."
            )
        self._path, self._folder = path, path.parent
        plain = path.suffix.lower() in ("", ".txt", ".lst", ".list")
        self._rows: Rows = (
            PlainList(path) if plain else Table(path, mapped_columns(data), bare=True)
        )
        self._account = Account()
        if self._rows.said:
            self._account.say("understood", f"{path.name}: {self._rows.said}")
        self._require_some()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by number; the table is read at the first use."""
        return self._content.classes

    def entries(self) -> Iterator[Entry]:
        content = self._content
        rows = gone = 0
        first = ""
        seen: set[int] = set()
        for row in self._rows.rows():
            key = key_of(row.name)
            if key in content.repeated:
                if key in seen:
                    continue
                seen.add(key)
            check_ids(self._folder, row.name)
            code = content.labels.known(row.label)
            label = None if code < 0 else int(content.numbers[code])
            size = self._size(row.name)
            rows += 1
            if size < 0:
                gone += 1  # is counted with the corrupt when it is read
                first = first or row.name
            split = content.split(row)
            if split is None:
                split = "test" if label is not None and in_test_split(row.name) else "train"
            yield Entry(row.name, label, split, row.name, max(1, size))
        if gone * 2 > rows:
            raise DataError(
                f"{self._path}: {gone:,} of its {rows:,} paths are no files, such as "
                f"'{first}'; relative paths begin at {self._folder}."
            )

    def read(self, places: Sequence[str]) -> Iterator[SourceImage]:
        if not any(_is_remote(place) for place in places):
            yield from map(self._read_local, places)
            return
        with ThreadPoolExecutor(READERS) as pool:
            yield from pool.map(self._read_one, places)

    def fingerprint(self) -> str:
        def local() -> Iterator[str]:
            yield self._path.name
            for row in self._rows.rows():
                if self._size(row.name) >= 0 and not _is_remote(row.name):
                    yield str(self._local(row.name))

        return stat_fingerprint(self._folder, local())

    def account(self) -> Account:
        """See `KeepsAccount`."""
        return Account([*self._account.remarks(), *self._content.said])

    @cached_property
    def _content(self) -> _Content:
        return _Content(self._rows)

    def _require_some(self) -> None:
        """Refuse a list of which not one of the first paths is a file."""
        tried = []
        for _, row in zip(range(ENTRIES_TRIED), self._rows.rows(), strict=False):
            if _is_remote(row.name):
                _file_system(_head(row.name))
            if self._size(row.name) >= 0:
                return
            tried.append(row.name)
        if not tried:
            raise DataError(f"{self._path}: lists no file.")
        raise DataError(
            f"{self._path}: of its first {len(tried)} paths none is a file, such as '{tried[0]}'; "
            f"relative paths begin at {self._folder}."
        )

    def _local(self, name: str) -> Path:
        path = unquote(urlparse(name).path) if URI.match(name) else name
        place = self._folder / path
        if "\\" in path and not os.path.exists(place):
            place = self._folder / path.replace("\\", "/")
        return place

    def _size(self, name: str) -> int:
        """Bytes of the file; -1 if a local path is none."""
        if _is_remote(name):
            return REMOTE_BYTES
        try:
            place = self._local(name)
            return place.stat().st_size if place.is_file() else -1
        except OSError:
            return -1  # a name that no file can have, or a folder that is closed: counted as none

    def _read_one(self, place: str) -> bytes:
        if not _is_remote(place):
            return self._read_local(place)
        system, path = _file_system(_head(place)), _path_of(place)
        try:
            with system.open_input_stream(path) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return Unreadable(NO_FILE)
        except OSError as error:
            raise DataError(f"{place}: cannot be read: {error}") from None

    def _read_local(self, place: str) -> bytes:
        return read_file(self._local(place), NO_FILE)


class _Content:
    """What the list says as a whole: classes, splits, repeated paths.

    Attributes:
        numbers: of the classes, by provisional number.
        repeated: the keys of paths that are listed more than once.
        said: remarks.
    """

    def __init__(self, table: Rows) -> None:
        self.labels = Labels(f"{table.path}: the column of labels")
        keys, said, splits = array("Q"), array("q"), set()
        for row in table.rows():
            if not row.name:
                raise DataError(f"{table.path}:{row.line}: the path is empty.")
            code = self.labels.code(row.label)
            split = _split_code(row, table.path)
            splits.add(split)
            keys.append(key_of(row.name))
            said.append(code * len(_SPLITS) + _SPLITS.index(split))
        self._tested = "test" in splits
        self.numbers = self.labels.close()
        self.classes = self.labels.classes
        account = Account()
        self.labels.where = table.path.name
        self.labels.tell(account)
        self.repeated = _repeated(table, keys, said, account)
        self.said = account.remarks()

    def split(self, row: Row) -> str | None:
        """The split of a row; None where the list does not say. Validation alone is the test."""
        word = split_of(row.split)
        return "test" if word == "eval" and not self._tested else word


_SPLITS = (None, "train", "test", "eval")


def _split_code(row: Row, path: Path) -> str | None:
    if not row.split:
        return None
    word = split_of(row.split)
    if word is None:
        raise DataError(
            f"{path}:{row.line}: the split is '{row.split}', but must be train, validation or test."
        )
    return word


def _repeated(table: Rows, keys: Iterable[int], said: Iterable[int], account: Account) -> set[int]:
    """The keys of rows that repeat another.

    Raises:
        DataError: they say something else.
    """
    all_keys, all_said = np.array(keys, np.uint64), np.array(said, np.int64)
    order = np.argsort(all_keys, kind="stable")
    all_keys, all_said = all_keys[order], all_said[order]
    same = np.flatnonzero(all_keys[1:] == all_keys[:-1]) + 1
    differs = same[all_said[same] != all_said[same - 1]]
    if len(differs):
        key = int(all_keys[differs[0]])
        row = next(row for row in table.rows() if key_of(row.name) == key)
        raise DataError(
            f"{table.path}: '{row.name}' is listed twice, with two labels or in two splits."
        )
    if len(same):
        account.say("understood", f"rows of {table.path.name} that repeat another: {len(same):,}")
    return set(all_keys[same].tolist())


def _is_remote(name: str) -> bool:
    return bool(URI.match(name)) and not name.lower().startswith("file://")


def _head(uri: str) -> str:
    """The part of a URI that decides its file system: scheme and bucket, and the options."""
    scheme, _, rest = uri.partition("://")
    options = rest.partition("?")[2]
    return f"{scheme}://{rest.partition('/')[0]}" + (f"?{options}" if options else "")


def _path_of(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    path = rest.partition("?")[0]
    return path if scheme.lower() in ("s3", "gs", "gcs") else "/" + path.partition("/")[2]


@lru_cache
def _file_system(head: str) -> Any:
    """The file system of a URI, connected once in each process."""
    if "@" in head:
        raise DataError(
            f"{head.partition('://')[0]}://...@{head.rpartition('@')[2]}: has a password in it, "
            "which would stand in the name of each image: put it into the environment."
        )
    try:
        return fs.FileSystem.from_uri(head)[0]
    except (ValueError, OSError, NotImplementedError) as error:
        raise DataError(
            f"{head}: cannot be opened: {str(error).strip()}. A list may have local paths and "
            f"URIs of file, s3, gs and hdfs{_hint(head)}."
        ) from None


def _hint(head: str) -> str:
    web = head.startswith(("http://", "https://"))
    return "; download what lies on web servers" if web else ""
