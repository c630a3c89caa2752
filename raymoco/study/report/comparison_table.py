"""Shared by the sections: the tables of judged comparisons, and skipping empty figures."""

from __future__ import annotations

from collections.abc import Sequence

from raymoco.study.report.document import Drawing, Grid
from raymoco.study.report.labels import interval, number, p_value
from raymoco.study.statistics.judged import Judged

INTERVAL = "95 % interval"
OVER_SEEDS, OVER_BOTH = "over training seeds", "over seeds and images"


def judged_grid(first: str, rows: Sequence[Judged], family: str) -> Grid:
    """Return comparisons of one family as a table; `first` heads the column of names."""
    columns = [first, "seeds", "difference", "95 % interval", "p", "p Holm", "verdict", "needed"]
    columns.append("p sign-flip")
    if any(row.failed for row in rows):
        columns.append("pairs lost")
    table = []
    for row in rows:
        found = row.difference
        shown = ["0", "", "", "", ""]
        if found is not None:
            shown = [
                found.size.replace(" seeds", ""),
                number(found.difference, sign=True),
                interval(found.low, found.high, sign=True),
                p_value(found.p),
                p_value(row.p_holm),
            ]
        needed = "" if row.seeds is None else str(row.seeds)
        line = [row.name, *shown, row.verdict, needed, p_value(row.p_sign_flip), str(row.failed)]
        table.append(line[: len(columns)])
    unit = rows[0].unit if rows else "seeds"
    caption = (
        f"{family} needed: {unit} to detect a difference this small with 80 % power. p sign-flip: "
        f"the exact test over the same {unit}, not adjusted"
    )
    grid = Grid(columns, table, caption, frozenset(columns[1:]) - {"verdict"})
    return with_items(grid, rows)


def margin_grids(first: str, rows: Sequence[Judged]) -> list[Grid]:
    """Return the tests of the same comparisons against the margin; nothing without a margin."""
    limits = [row.equivalence for row in rows if row.equivalence is not None]
    if not limits:
        return []
    columns = [first, "90 % interval", "p TOST", "p Holm", "negligible"]
    columns += ["needed if 0", "needed as observed"]
    table = []
    for row in rows:
        found = row.equivalence
        tests = ["", "", ""]
        if found is not None:
            tests = [
                interval(found.low, found.high, sign=True),
                p_value(found.p),
                p_value(row.p_tost_holm),
            ]
        said = "yes" if row.verdict == "negligible" else "no"
        needed = ["" if n is None else str(n) for n in row.seeds_for_negligible]
        table.append([row.name, *tests, said, *needed])
    caption = (
        f"Against the margin of {limits[0].margin:g}: two one-sided t-tests over seeds, a Holm "
        "family of their own. needed: seeds to call it negligible with 80 % power, if the true "
        "difference is 0 or the observed one"
    )
    return [Grid(columns, table, caption, frozenset(columns[1:]) - {"negligible"})]


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
