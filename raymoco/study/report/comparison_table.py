"""Shared by the sections: the table of judged comparisons, and skipping empty figures."""

from __future__ import annotations

from collections.abc import Sequence

from raymoco.study.report.document import Drawing, Grid
from raymoco.study.report.labels import interval, number, p_value
from raymoco.study.statistics.comparisons import Judged

SIGN_FLIP = "p sign-flip"
EQUIVALENCE = ["90 % interval", "p TOST", "p TOST Holm", "needed for negligible"]


def judged_grid(first: str, rows: Sequence[Judged], family: str) -> Grid:
    """Return comparisons of one family as a table; `first` heads the column of names."""
    columns = [first, "seeds", "difference", "95 % interval", "p", "p Holm", "verdict", "needed"]
    columns.append(SIGN_FLIP)
    with_margin = any(row.equivalence for row in rows)
    columns += EQUIVALENCE * with_margin
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
        more = [p_value(row.p_sign_flip), *(_equivalence(row) if with_margin else [])]
        line = [row.name, *shown, row.verdict, needed, *more, str(row.failed)]
        table.append(line[: len(columns)])
    caption = f"{family} needed: seeds to detect a difference this small with 80 % power"
    caption += "; p sign-flip: exact over the seeds, not adjusted"
    if with_margin:
        caption += (
            "; p TOST: of the difference against the margin, a Holm family of its own; needed for "
            "negligible: seeds with 80 % power, if the true difference is 0 / is the observed one"
        )
    right = {*columns[1:6], "needed", SIGN_FLIP, *EQUIVALENCE, "pairs lost"}
    return Grid(columns, table, caption, frozenset(right))


def _equivalence(row: Judged) -> list[str]:
    found = row.equivalence
    if found is None:
        return ["", "", "", ""]
    needed = " / ".join("-" if n is None else str(n) for n in row.seeds_for_negligible)
    return [
        interval(found.low, found.high, sign=True),
        p_value(found.p),
        p_value(row.p_tost_holm),
        "" if row.seeds_for_negligible == (None, None) else needed,
    ]


def numeric(columns: Sequence[str]) -> frozenset[str]:
    """Return the numeric columns: all but the first and those with words."""
    return frozenset(columns[1:]) - {"sets", "verdict"}


def drawn(*drawings: Drawing | None) -> list[Drawing]:
    """Return the figures that are not None."""
    return [drawing for drawing in drawings if drawing is not None]
