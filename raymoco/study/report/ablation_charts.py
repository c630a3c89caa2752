"""Figures of an ablation: differences with intervals, and how two factors work together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from raymoco.study.comparisons import Comparisons, Judged
from raymoco.study.report.document import Drawing
from raymoco.study.report.drawing import (
    BLUE,
    GRID,
    INK,
    MUTED,
    PAPER,
    VERMILLION,
    finish,
    legend_below,
    looks,
    new_figure,
    style,
)
from raymoco.study.report.wording import clip, counted, metric_label, metric_name, upright_label
from raymoco.study.statistics import cell_mean

COLOURS = {"helps": BLUE, "hurts": VERMILLION}
ROW_INCHES = 0.46
NAME_ROOM = 44  # letters, beside the verdict


def forest(
    rows: Sequence[Judged],
    name: str,
    title: str,
    caption: str,
    metric: str,
    margin: float | None = None,
) -> Drawing | None:
    """Differences as points with their 95 % intervals around 0; None if there are none."""
    shown = [row for row in rows if row.difference is not None]
    if not shown:
        return None
    with style():
        figure, axes = new_figure(0.9 + ROW_INCHES * len(shown))
        if margin is not None:
            axes.axvspan(-margin, margin, color=GRID, alpha=0.5, linewidth=0)
        axes.axvline(0, color=MUTED, linewidth=1)
        for height, row in zip(range(len(shown), 0, -1), shown, strict=True):
            found = row.difference
            assert found is not None
            colour = COLOURS.get(row.verdict, INK)
            if not math.isnan(found.low):
                axes.plot([found.low, found.high], [height, height], color=colour, zorder=2)
            filled = row.verdict in COLOURS
            axes.plot(
                found.difference,
                height,
                marker="o",
                markersize=6,
                color=colour,
                markerfacecolor=colour if filled else PAPER,
                zorder=3,
            )
            lost = f", {counted(row.failed, 'pair')} lost" if row.failed else ""
            beside: Any = {"xycoords": ("axes fraction", "data"), "va": "bottom", "fontsize": 9}
            axes.annotate(clip(row.name, NAME_ROOM), (0, height + 0.14), ha="left", **beside)
            axes.annotate(
                f"{row.verdict}{lost}", (1, height + 0.14), ha="right", color=MUTED, **beside
            )
        axes.set_ylim(0.5, len(shown) + 0.75)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"difference in {metric_label(metric)}")
        return finish(figure, name, title, caption)


def interaction_plots(found: Comparisons) -> list[Drawing]:
    """For each two factors of the design the means of their levels, averaged over the others."""
    levels = {
        factor: list(dict.fromkeys(cell.levels[factor] for cell in found.cells))
        for factor in found.cells[0].levels
    }
    drawings = []
    for one, two in combinations(levels, 2):
        means = {
            (a, b): _mean_over_others(found, {one: a, two: b})
            for a in levels[one]
            for b in levels[two]
        }
        # a design that leaves combinations out cannot show how they work together
        if all(mean is not None for mean in means.values()):
            drawings.append(_interaction(found.metric, one, two, levels, means))
    return drawings


def _interaction(
    metric: str,
    one: str,
    two: str,
    levels: Mapping[str, Sequence[str]],
    means: Mapping[tuple[str, str], tuple[float, float] | None],
) -> Drawing:
    with style():
        figure, axes = new_figure(3.3)
        lines = levels[two]
        for number, (b, (colour, marker, dash)) in enumerate(
            zip(lines, looks(len(lines)), strict=True)
        ):
            # side by side, so that no interval hides another
            shift = 0.06 * (number - (len(lines) - 1) / 2)
            points = [means[a, b] for a in levels[one]]
            heights = [point[0] for point in points if point]
            reaches = [point[1] for point in points if point]
            axes.errorbar(
                [place + shift for place in range(len(heights))],
                heights,
                yerr=reaches,
                label=clip(f"{two}={b}", NAME_ROOM),
                color=colour,
                marker=marker,
                linestyle=dash,
                capsize=3,
                elinewidth=1,
            )
        axes.set_xticks(
            range(len(levels[one])),
            labels=[clip(level, 44 // len(levels[one])) for level in levels[one]],
        )
        axes.set_xlim(-0.4, len(levels[one]) - 0.6)
        axes.set_xlabel(clip(one, NAME_ROOM))
        axes.set_ylabel(upright_label(metric))
        axes.grid(visible=False, axis="x")
        legend_below(figure, axes, [clip(f"{two}={b}", NAME_ROOM) for b in lines])
        return finish(
            figure,
            f"interaction-{one}-{two}",
            f"{one} and {two} together",
            f"Means of {metric_name(metric)} with 95 % t-intervals over seeds, averaged over the "
            "other factors. Parallel lines: the factors add up. The intervals hold what seeds "
            "share; the test of the interaction is paired and can be sharper.",
        )


def _mean_over_others(found: Comparisons, levels: Mapping[str, str]) -> tuple[float, float] | None:
    """Mean and half its interval over the seeds that every cell with these levels has."""
    cells = [
        found.scores.get(cell.name, {})
        for cell in found.cells
        if all(cell.levels[factor] == level for factor, level in levels.items())
    ]
    if not cells:
        return None
    seeds = set.intersection(*(set(scores) for scores in cells))
    mean = cell_mean([math.fsum(s[seed] for s in cells) / len(cells) for seed in sorted(seeds)])
    if mean is None:
        return None
    return mean.mean, 0.0 if math.isnan(mean.low) else (mean.high - mean.low) / 2
