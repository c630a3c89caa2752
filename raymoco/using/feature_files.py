"""Files of features: Parquet, CSV and NumPy; all or nothing is written."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raymoco.errors import ConfigError
from raymoco.files import writing

ENDINGS = (".parquet", ".csv", ".npy")


@dataclass(frozen=True)
class FeatureRows:
    """Some rows: ids, labels (None = none), features (n, F) and predicted classes, if any."""

    ids: list[str]
    labels: list[int | None]
    features: NDArray[np.float32]
    predicted: list[int] | None


class _Format(Protocol):
    def add(self, ids: list[str], words: dict[str, list[str | None]], rows: FeatureRows) -> None:
        """Write some rows; `words` are labels and predictions by column."""

    def close(self) -> None:
        """Finish the file."""


class FeatureWriter:
    """Counts rows on their way to a file, and names their classes."""

    def __init__(
        self, written: _Format, classes: Sequence[str], trained_classes: Sequence[str]
    ) -> None:
        self._written, self._classes, self._trained = written, classes, trained_classes
        self.rows = self.width = 0

    def add(self, rows: FeatureRows) -> None:
        """Write some rows."""
        words: dict[str, list[str | None]] = {
            "label": [None if label is None else self._classes[label] for label in rows.labels]
        }
        if rows.predicted is not None:
            words["predicted"] = [self._trained[number] for number in rows.predicted]
        self._written.add(rows.ids, words, rows)
        self.rows += len(rows.ids)
        self.width = rows.features.shape[1]


@contextmanager
def feature_writer(
    target: Path, classes: Sequence[str], trained_classes: Sequence[str]
) -> Iterator[FeatureWriter]:
    """Write a file beside its place, and rename it to there once all rows are in it.

    Args:
        classes: names of the labels, by number.
        trained_classes: names of the predictions, by number.
    Raises:
        ConfigError: the file has another ending, or is a folder.
    """
    suffix = target.suffix.lower()
    if suffix not in ENDINGS:
        raise ConfigError(
            f"{target}: the ending is '{target.suffix}', but must be one of {', '.join(ENDINGS)}."
        )
    if target.is_dir():
        raise ConfigError(f"{target} is a folder; name a file.")
    target.parent.mkdir(parents=True, exist_ok=True)
    formats = {".parquet": _Parquet, ".csv": _Csv, ".npy": _Npy}
    beside = [target, *([target.with_suffix(".csv")] if suffix == ".npy" else [])]
    partial = [path.with_name(f".{path.name}.{os.getpid()}") for path in beside]
    with ExitStack() as left:
        for path in partial:
            left.callback(path.unlink, missing_ok=True)
        with writing(target):
            written: _Format = formats[suffix](*partial)
            try:
                yield FeatureWriter(written, classes, trained_classes)
            finally:
                written.close()
        for path, final in zip(partial, beside, strict=True):
            path.replace(final)


class _Parquet:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: pq.ParquetWriter | None = None

    def add(self, ids: list[str], words: dict[str, list[str | None]], rows: FeatureRows) -> None:
        width = rows.features.shape[1]
        flat = pa.array(rows.features.ravel())
        table = pa.table(
            {
                "id": pa.array(ids, pa.string()),
                **{name: pa.array(column, pa.string()) for name, column in words.items()},
                "features": pa.FixedSizeListArray.from_arrays(flat, width),
            }
        )
        if self._file is None:
            self._file = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._file.write_table(table)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _Csv:
    def __init__(self, path: Path) -> None:
        self._stream = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._stream)
        self._begun = False

    def add(self, ids: list[str], words: dict[str, list[str | None]], rows: FeatureRows) -> None:
        if not self._begun:
            numbered = [f"f{number}" for number in range(rows.features.shape[1])]
            self._rows.writerow(["id", *words, *numbered])
            self._begun = True
        for image_id, *texts, values in zip(ids, *words.values(), rows.features, strict=True):
            # as short as float32 needs to be read back unchanged
            plain = [np.format_float_positional(value, trim="-") for value in values]
            self._rows.writerow([image_id, *texts, *plain])

    def close(self) -> None:
        self._stream.close()


class _Npy:
    """The array, which is held until the end, and the other columns in a table beside it."""

    def __init__(self, path: Path, names: Path) -> None:
        self._path = path
        self._parts: list[NDArray[np.float32]] = []
        self._stream = names.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._stream)

    def add(self, ids: list[str], words: dict[str, list[str | None]], rows: FeatureRows) -> None:
        if not self._parts:
            self._rows.writerow(["id", *words])
        self._parts.append(rows.features)
        self._rows.writerows(zip(ids, *words.values(), strict=True))

    def close(self) -> None:
        self._stream.close()
        if self._parts:
            with self._path.open("wb") as file:
                np.save(file, np.concatenate(self._parts))
