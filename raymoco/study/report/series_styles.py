"""Cells as the series of a figure: what each is called, how it looks, and who leaves a crowd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raymoco.study.report.figure_style import BLUE, INK, MUTED, VERMILLION, looks
from raymoco.study.sweepfile.cells import Cell

CROWD = 12  # nobody tells more lines than these apart
BASELINE, BEST, WORST = (INK, "o", "-"), (BLUE, "^", "-"), (VERMILLION, "v", "-")
OTHERS = (MUTED, ".", "-")
BASELINE_ROOM = 32  # letters; the text says in full what the baseline is


@dataclass(frozen=True)
class Look:
    """How one series is drawn; a faint one is one of the crowd, thin and gray."""

    label: str
    color: str
    marker: str
    dash: Any
    faint: bool = False


@dataclass(frozen=True)
class Cast:
    """How the cells of a sweep appear in its figures.

    Attributes:
        higher: whether more of the metric is better.
        names: what figures call a cell, where that is not its name.
        baseline: the cell that the others are compared with, if there is one.
    """

    higher: bool
    names: Mapping[str, str] = field(default_factory=dict)
    baseline: str | None = None

    def looks(self, scores: Mapping[str, float]) -> dict[str, Look]:
        """A look for each cell, in the order of a legend.

        Up to CROWD cells have each their own; of more only the baseline, the best and the worst.

        Args:
            scores: what the best is best in, by cell.
        """
        called = {name: self.names.get(name, name) for name in scores}
        if len(scores) <= CROWD:
            own = zip(called.items(), looks(len(called)), strict=True)
            return {name: Look(label, *look) for (name, label), look in own}
        order = sorted(scores, key=lambda name: scores[name], reverse=self.higher)
        named = {order[0]: ("best: ", BEST), order[-1]: ("worst: ", WORST)}
        if self.baseline is not None and self.baseline in scores.keys() - named.keys():
            named = {self.baseline: ("", BASELINE), **named}
        found = {name: Look(f"{role}{called[name]}", *look) for name, (role, look) in named.items()}
        rest = [name for name in scores if name not in named]
        found |= {name: Look("", *OTHERS, faint=True) for name in rest}
        found[rest[0]] = Look(f"the other {len(rest)}", *OTHERS, faint=True)
        return found

    def told(self, count: int) -> str:
        """What a caption says of a crowd; nothing of fewer."""
        if count <= CROWD:
            return ""
        first = "the baseline, " if self.baseline else ""
        return f" Of {count} only {first}the best and the worst are named."


def figure_names(cells: Sequence[Cell]) -> dict[str, str]:
    """Each cell by what it has that the baseline, the first one, has not: figures have little room.

    By their own names if some would be called the same.
    """
    start = cells[0]
    short = len(start.name) <= BASELINE_ROOM
    names = {start.name: f"baseline ({start.name})" if short else "baseline"}
    for cell in cells[1:]:
        changed = {f: level for f, level in cell.levels.items() if level != start.levels[f]}
        names[cell.name] = Cell(changed, {}).name
    return names if len(set(names.values())) == len(cells) else {c.name: c.name for c in cells}
