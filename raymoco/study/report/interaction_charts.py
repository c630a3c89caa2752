"""Interaction charts: the means of the levels of two factors of an ablation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from matplotlib.axes import Axes

from raymoco.study.report.document import Drawing
from raymoco.study.report.figure_style import (
    distinct_styles,
    finish,
    legend_below,
    legend_inches,
    new_figure,
    style,
)
from raymoco.study.report.labels import clip, metric_name, upright_label
from raymoco.study.statistics.comparisons import Comparisons
from raymoco.study.statistics.paired import CellMean, cell_mean
from raymoco.study.sweepfile.cells import Cell

NAME_ROOM = 44  # letters
TURNED_ROOM = 28  # characters of a rotated level name


def interaction_plots(found: Comparisons) -> list[Drawing]:
    """Draw the means of the levels of each two factors that the design crosses."""
    levels = {
        factor: list(dict.fromkeys(cell.levels[factor] for cell in found.cells))
        for factor in found.cells[0].levels
    }
    drawings = []
    for number, (one, two) in enumerate(combinations(levels, 2), 1):
        if not _crossed(found.cells, one, two):
            continue
        if len(levels[one]) < len(levels[two]):  # few lines over many levels are easiest to read
            one, two = two, one
        means = {
            (a, b): _mean_over_others(found, {one: a, two: b})
            for a in levels[one]
            for b in levels[two]
        }
        if all(mean is not None for mean in means.values()):
            drawings.append(_interaction(found.metric, number, one, two, levels, means))
    return drawings


def _crossed(cells: Sequence[Cell], one: str, two: str) -> bool:
    """Whether every pair of levels was run with the same settings of the other factors.

    Otherwise the means of two pairs would also differ by those settings: in leave-one-out, where
    neither factor is on, no other factor is on either.
    """
    settings: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for cell in cells:
        others = tuple(level for f, level in cell.levels.items() if f not in (one, two))
        settings.setdefault((cell.levels[one], cell.levels[two]), set()).add(others)
    first, second = ({cell.levels[factor] for cell in cells} for factor in (one, two))
    same = all(others == settings[next(iter(settings))] for others in settings.values())
    return len(settings) == len(first) * len(second) and same


def _interaction(
    metric: str,
    number: int,
    one: str,
    two: str,
    levels: Mapping[str, Sequence[str]],
    means: Mapping[tuple[str, str], CellMean | None],
) -> Drawing:
    lines = {b: clip(f"{two}={b}", NAME_ROOM) for b in levels[two]}
    with style():
        figure, axes = new_figure(2.9 + legend_inches(list(lines.values())))
        for line, (b, mark) in enumerate(zip(lines, distinct_styles(len(lines)), strict=True)):
            # side by side, so that intervals do not overlap
            shift = min(0.06, 0.5 / len(lines)) * (line - (len(lines) - 1) / 2)
            shown = [mean for a in levels[one] if (mean := means[a, b]) is not None]
            color, marker, dash = mark
            axes.errorbar(
                [place + shift for place in range(len(shown))],
                [mean.mean for mean in shown],
                yerr=[0.0 if math.isnan(m.low) else (m.high - m.low) / 2 for m in shown],
                label=lines[b],
                color=color,
                marker=marker,
                linestyle=dash,
                capsize=3,
                elinewidth=1,
            )
        _name_levels(axes, levels[one])
        axes.set_xlabel(clip(one, NAME_ROOM))
        axes.set_ylabel(upright_label(metric))
        axes.grid(visible=False, axis="x")
        legend_below(figure, axes)
        averaged = ", averaged over the other factors" if len(levels) > 2 else ""
        return finish(
            figure,
            f"interaction-{number}-{one}-{two}",  # the number distinguishes "lr (a)" from "lr [a]"
            f"{one} and {two} together",
            f"Means of {metric_name(metric)} with 95 % t-intervals over seeds{averaged}. "
            "Parallel lines: the factors add up. The intervals hold what seeds share; the test "
            "of the interaction is paired and can be sharper.",
        )


def _name_levels(axes: Axes, levels: Sequence[str]) -> None:
    """Label the levels below the axis; rotate labels that would overlap."""
    turned: dict[str, Any] = {}
    if max(map(len, levels)) > NAME_ROOM // len(levels):
        turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    room = TURNED_ROOM if turned else NAME_ROOM
    axes.set_xticks(range(len(levels)), [clip(level, room) for level in levels], **turned)
    axes.set_xlim(-0.4, len(levels) - 0.6)


def _mean_over_others(found: Comparisons, levels: Mapping[str, str]) -> CellMean | None:
    """Return the mean over the seeds that all cells with these levels have."""
    cells = [
        found.scores.get(cell.name, {})
        for cell in found.cells
        if all(cell.levels[factor] == level for factor, level in levels.items())
    ]
    seeds = set.intersection(*(set(scores) for scores in cells))
    return cell_mean([math.fsum(s[seed] for s in cells) / len(cells) for seed in sorted(seeds)])
