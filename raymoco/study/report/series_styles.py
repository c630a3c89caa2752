"""The styles of cells as series of a figure: label, color, marker, and which are highlighted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raymoco.study.report.figure_style import BLUE, INK, MUTED, VERMILLION, distinct_styles
from raymoco.study.sweepfile.cells import Cell

CROWD = 12  # more lines than these cannot be distinguished
BASELINE, BEST, WORST = (INK, "o", "-"), (BLUE, "^", "-"), (VERMILLION, "v", "-")
OTHERS = (MUTED, ".", "-")
BASELINE_ROOM = 32  # characters; the text has the baseline's full name


@dataclass(frozen=True)
class SeriesStyle:
    """The style of one series; a faint one is thin and gray, one of many."""

    label: str
    color: str
    marker: str
    dash: Any
    faint: bool = False


@dataclass(frozen=True)
class CellStyles:
    """Chooses the styles of a sweep's cells in its figures.

    Attributes:
        higher: whether a higher metric is better.
        names: labels of cells in figures, where they differ from the names.
        baseline: the cell that the others are compared with, if there is one.
    """

    higher: bool
    names: Mapping[str, str] = field(default_factory=dict)
    baseline: str | None = None

    def styles(self, scores: Mapping[str, float]) -> dict[str, SeriesStyle]:
        """Return a style for each cell, in the order of the legend.

        Up to CROWD cells have a style each; of more only the baseline, the best and the worst.

        Args:
            scores: the score of each cell, by which best and worst are chosen.
        """
        called = {name: self.names.get(name, name) for name in scores}
        if len(scores) <= CROWD:
            own = zip(called.items(), distinct_styles(len(called)), strict=True)
            return {name: SeriesStyle(label, *mark) for (name, label), mark in own}
        order = sorted(scores, key=lambda name: scores[name], reverse=self.higher)
        named = {order[0]: ("best: ", BEST), order[-1]: ("worst: ", WORST)}
        if self.baseline is not None and self.baseline in scores.keys() - named.keys():
            named = {self.baseline: ("", BASELINE), **named}
        found = {
            name: SeriesStyle(f"{role}{called[name]}", *mark)
            for name, (role, mark) in named.items()
        }
        rest = [name for name in scores if name not in named]
        found |= {name: SeriesStyle("", *OTHERS, faint=True) for name in rest}
        found[rest[0]] = SeriesStyle(f"the other {len(rest)}", *OTHERS, faint=True)
        return found

    def unnamed_note(self, count: int) -> str:
        """Return the caption's note about unnamed cells; '' if all are named."""
        if count <= CROWD:
            return ""
        first = "the baseline, " if self.baseline else ""
        return f" Of {count} only {first}the best and the worst are named."


def figure_names(cells: Sequence[Cell]) -> dict[str, str]:
    """Return short labels of cells: the levels that differ from the baseline, the first cell.

    If two labels would be the same, all cells have their own names.
    """
    start = cells[0]
    short = len(start.name) <= BASELINE_ROOM
    names = {start.name: f"baseline ({start.name})" if short else "baseline"}
    for cell in cells[1:]:
        changed = {f: level for f, level in cell.levels.items() if level != start.levels[f]}
        names[cell.name] = Cell(changed, {}).name
    return names if len(set(names.values())) == len(cells) else {c.name: c.name for c in cells}
