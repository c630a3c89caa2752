"""Forest plots: differences as points with their 95 % intervals around 0."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from raymoco.study.report.document import Drawing
from raymoco.study.report.figure_style import (
    BLUE,
    GRID,
    INK,
    MUTED,
    PAPER,
    VERMILLION,
    finish,
    new_figure,
    style,
)
from raymoco.study.report.labels import clip, counted, metric_label
from raymoco.study.report.series_styles import CROWD
from raymoco.study.statistics.judged import Judged

COLORS = {"helps": BLUE, "hurts": VERMILLION}
ROW_INCHES = 0.46
NAME_ROOM = 44  # letters, beside the verdict
LABEL_ROOM = 56  # letters, under the panel
# with many rows the names are left of the panel, in smaller letters and up to two lines
GUTTER_ROOM = 36
GUTTER_LETTERS = 7
LINE_INCHES = 0.1
THIN = " Thick: over training seeds; thin: over seeds and images."
CROWDED = " Best first; blue helps, orange hurts, hollow neither; the table has the numbers."


def forest(
    rows: Sequence[Judged],
    name: str,
    title: str,
    caption: str,
    metric: str,
    *,
    higher: bool = True,
    margin: float | None = None,
    names: Mapping[str, str] | None = None,
) -> Drawing | None:
    """Draw the figure; None if there are no differences.

    Args:
        rows: in their order; if there are many, the best comes first.
        higher: whether a higher metric is better.
        margin: differences up to this are negligible; the range is shaded.
        names: labels of rows, by their names, where they differ.
    """
    shown = [row for row in rows if row.difference is not None]
    if not shown:
        return None
    called = {row.name: (names or {}).get(row.name, row.name) for row in shown}
    crowded = len(shown) > CROWD
    with style():
        if crowded:
            shown.sort(key=_difference, reverse=higher)
            labels = [_two_lines(called[row.name]) for row in shown]
            lines = 1 + max(label.count("\n") for label in labels)
            figure, axes = new_figure(0.9 + (0.05 + LINE_INCHES * lines) * len(shown))
        else:
            figure, axes = new_figure(0.9 + ROW_INCHES * len(shown))
        if margin is not None:
            axes.axvspan(-margin, margin, color=GRID, alpha=0.5, linewidth=0)
        axes.axvline(0, color=MUTED, linewidth=1)
        heights = range(len(shown), 0, -1)
        for height, row in zip(heights, shown, strict=True):
            _draw_interval(axes, height, row, 4 if crowded else 6)
            if not crowded:
                _write_above(axes, height, called[row.name], row)
        if crowded:
            axes.set_yticks(heights, labels, fontsize=GUTTER_LETTERS, linespacing=1.05)
            axes.tick_params(axis="y", length=0)
            axes.set_ylim(0.3, len(shown) + 0.7)
        else:
            axes.set_yticks([])
            axes.grid(visible=False, axis="y")
            axes.set_ylim(0.5, len(shown) + 0.75)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(_label(metric, higher, LABEL_ROOM // 2 if crowded else LABEL_ROOM))
        caption += THIN if any(row.items is not None for row in shown) else ""
        return finish(figure, name, title, caption + (CROWDED if crowded else ""))


def _difference(row: Judged) -> float:
    return row.difference.difference if row.difference is not None else math.nan


def _draw_interval(axes: Axes, height: int, row: Judged, size: int) -> None:
    found = row.difference
    assert found is not None
    color = COLORS.get(row.verdict, INK)
    if row.items is not None:
        ends = [row.items.low, row.items.high]
        axes.plot(ends, [height, height], color=MUTED, linewidth=0.8, marker="|", markersize=size)
    if not math.isnan(found.low):
        axes.plot([found.low, found.high], [height, height], color=color, zorder=2)
    axes.plot(
        found.difference,
        height,
        marker="o",
        markersize=size,
        color=color,
        markerfacecolor=color if row.verdict in COLORS else PAPER,
        zorder=3,
    )


def _write_above(axes: Axes, height: int, name: str, row: Judged) -> None:
    lost = f", {counted(row.failed, 'pair')} lost" if row.failed else ""
    beside: Any = {"xycoords": ("axes fraction", "data"), "va": "bottom", "fontsize": 9}
    axes.annotate(clip(name, NAME_ROOM), (0, height + 0.14), ha="left", **beside)
    axes.annotate(f"{row.verdict}{lost}", (1, height + 0.14), ha="right", color=MUTED, **beside)


def _two_lines(name: str) -> str:
    lines = textwrap.wrap(name, GUTTER_ROOM, max_lines=2, placeholder=" …", break_on_hyphens=False)
    return "\n".join(lines)


def _label(metric: str, higher: bool, room: int) -> str:
    label = f"difference in {metric_label(metric)}{'' if higher else '; less is better'}"
    return "\n".join(textwrap.wrap(label, room))
