"""Shared by the sections: the table of judged comparisons, and skipping empty figures."""

from __future__ import annotations

from collections.abc import Sequence

from raymoco.study.report.document import Drawing, Grid
from raymoco.study.report.labels import interval, number, p_value
from raymoco.study.statistics.comparisons import Judged


def judged_grid(first: str, rows: Sequence[Judged], family: str) -> Grid:
    """Return comparisons of one family as a table; `first` heads the column of names."""
    columns = [first, "seeds", "difference", "95 % interval", "p", "p Holm", "verdict", "needed"]
    if any(row.failed for row in rows):
        columns.append("pairs lost")
    table = []
    for row in rows:
        found = row.difference
        shown = ["0", "", "", "", ""]
        if found is not None:
            shown = [
                str(found.n),
                number(found.difference, sign=True),
                interval(found.low, found.high, sign=True),
                p_value(found.p),
                p_value(row.p_holm),
            ]
        needed = "" if row.seeds is None else str(row.seeds)
        table.append([row.name, *shown, row.verdict, needed, str(row.failed)][: len(columns)])
    caption = f"{family} needed: seeds to detect a difference this small with 80 % power"
    return Grid(columns, table, caption, frozenset(columns[1:6]) | {"needed", "pairs lost"})


def numeric(columns: Sequence[str]) -> frozenset[str]:
    """Return the numeric columns: all but the first and those with words."""
    return frozenset(columns[1:]) - {"sets", "verdict"}


def drawn(*drawings: Drawing | None) -> list[Drawing]:
    """Return the figures that are not None."""
    return [drawing for drawing in drawings if drawing is not None]
