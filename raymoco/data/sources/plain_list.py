"""A text file with a path in each line, maybe followed by a label."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from raymoco.data.sources.table_columns import SUFFIXES
from raymoco.data.sources.tables import SAMPLE, Row, encoding_of, lines_of
from raymoco.errors import DataError

_ENDINGS = "|".join(re.escape(suffix) for suffix in sorted(SUFFIXES))
LABELED = re.compile(rf"(.*(?:{_ENDINGS}))[\t ,;|]+(\S.*)", re.IGNORECASE)


class PlainList:
    """Lines of a file; blank ones and those that begin with `#` are no rows.

    Attributes:
        said: how the lines were understood; "" where they are paths alone.
    """

    def __init__(self, path: Path) -> None:
        """Look at the first lines.

        Raises:
            DataError: it cannot be read, or some of these lines have a label and others have not.
        """
        self.path = path
        first = [line for _, line in itertools.islice(self._lines(), SAMPLE)]
        labeled = [LABELED.fullmatch(line) is not None for line in first]
        self._labeled = bool(labeled) and all(labeled)
        if any(labeled) and not self._labeled:
            line = first[labeled.index(False)]
            raise DataError(
                f"{path}: some lines have a label after the path, but '{line}' has none. Make a "
                "CSV with the columns name and label of it."
            )
        self.said = "each line has a path and a label" if self._labeled else ""

    def rows(self) -> Iterator[Row]:
        """Yield the path, and the label if there is one, of every line."""
        for number, line in self._lines():
            if not self._labeled:
                yield Row(number, line, None, "")
                continue
            found = LABELED.fullmatch(line)
            if found is None:
                raise DataError(f"{self.path}:{number}: '{line}' has no label, but others have.")
            yield Row(number, found[1], found[2], "")

    def _lines(self) -> Iterator[tuple[int, str]]:
        lines = lines_of(self.path, encoding_of(self.path), "text")
        for number, line in enumerate(lines, start=1):
            text = line.lstrip("\ufeff").strip()
            if text and not text.startswith("#"):
                yield number, text
