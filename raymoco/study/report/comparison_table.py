"""Shared by the sections: the table of judged comparisons, and skipping empty figures."""

from __future__ import annotations

from collections.abc import Sequence

from raymoco.study.report.document import Drawing, Grid
from raymoco.study.report.labels import interval, number, p_value
from raymoco.study.statistics.comparisons import Judged

INTERVAL = "95 % interval"
OVER_SEEDS, OVER_BOTH = "over training seeds", "over seeds and images"


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
    grid = Grid(columns, table, caption, frozenset(columns[1:6]) | {"needed", "pairs lost"})
    return with_items(grid, rows)


def with_items(grid: Grid, rows: Sequence[Judged]) -> Grid:
    """Put the interval over seeds and images beside the one over seeds, and say which is which.

    Args:
        grid: with the column INTERVAL; a row per judged one, in their order.
    """
    at = list(grid.columns).index(INTERVAL)
    columns, table = [*grid.columns], [[*row] for row in grid.rows]
    columns[at] = OVER_SEEDS
    numeric = {*grid.numeric, OVER_SEEDS}
    if any(row.items is not None for row in rows):
        columns.insert(at + 1, OVER_BOTH)
        numeric.add(OVER_BOTH)
        for line, row in zip(table, rows, strict=True):
            found = row.items
            span = "" if found is None else interval(found.low, found.high, sign=True)
            if found is not None and found.seeds == 1:
                line[at - 2 : at] = ["1", number(found.difference, sign=True)]
                span += " (images alone)"
            line.insert(at + 1, span)
    caption = f"{grid.caption}; intervals: 95 %, not adjusted"
    return Grid(columns, table, caption, frozenset(numeric))


def numeric(columns: Sequence[str]) -> frozenset[str]:
    """Return the numeric columns: all but the first and those with words."""
    return frozenset(columns[1:]) - {"sets", "verdict"}


def drawn(*drawings: Drawing | None) -> list[Drawing]:
    """Return the figures that are not None."""
    return [drawing for drawing in drawings if drawing is not None]
