"""metrics.csv: a row per epoch, replaced atomically."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from raymoco.errors import DataError
from raymoco.files import write_atomically
from raymoco.metrics import Row
from raymoco.reading import read_text, shown


class MetricsFile:
    """The rows of one run by epoch; a row for a known epoch replaces the old one."""

    def __init__(self, path: Path, up_to_epoch: int | None = None) -> None:
        self._path = path
        self.rows: dict[int, Row] = {}
        if path.exists():
            for row in read_metrics(path):
                if up_to_epoch is None or row["epoch"] <= up_to_epoch:
                    self.rows[int(row["epoch"])] = row

    def add(self, row: Row) -> None:
        """Add or replace the row of an epoch and write the file."""
        self.rows[int(row["epoch"])] = row
        rows = [self.rows[epoch] for epoch in sorted(self.rows)]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        stream = io.StringIO()
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self._path, stream.getvalue())


def read_metrics(path: Path) -> list[Row]:
    """Read a metrics.csv; a metric that an epoch did not measure is absent from its row.

    Raises:
        DataError: the file is damaged; names it and the line.
    """
    found: list[Row] = []
    for line, row in enumerate(csv.DictReader(io.StringIO(read_text(path, DataError))), start=2):
        try:
            found.append(
                {
                    key: int(value) if key == "epoch" else float(value)
                    for key, value in row.items()
                    if value != ""
                }
            )
            found[-1]["epoch"]
        except (ValueError, TypeError, KeyError):
            raise DataError(
                f"{shown(path)}:{line}: not the row of an epoch; the file was changed."
            ) from None
    return found
