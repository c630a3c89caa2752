"""Figures of any sweep: learning curves, and score against training speed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes

from raymoco.metrics import IMAGES_PER_SECOND, describe
from raymoco.study.journal.events import TrialState
from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.journal.ranking import undominated
from raymoco.study.report.document import Drawing
from raymoco.study.report.figure_style import (
    BLUE,
    GRID,
    MUTED,
    ORANGE,
    count_by_ones,
    finish,
    legend_below,
    legend_inches,
    new_figure,
    style,
)
from raymoco.study.report.findings import curve
from raymoco.study.report.labels import clip, metric_name, score_word, upright_label
from raymoco.study.report.series_styles import CellStyles, SeriesStyle
from raymoco.study.report.thinning import LINES, POINTS, thinned, told
from raymoco.study.statistics.paired import cell_mean

NAME_ROOM = 48  # letters in a legend
FAINT_LINE: Any = {"linewidth": 0.8, "alpha": 0.4, "zorder": 1.5}
FAINT_POINT: Any = {"markersize": 5, "alpha": 0.4, "markeredgewidth": 0}
POINT: Any = {"markersize": 6, "markeredgecolor": GRID, "markeredgewidth": 0.5}


def learning_curves(
    groups: Mapping[str, Sequence[TrialRecord]], metric: str, cells: CellStyles
) -> Drawing | None:
    """Draw means over seeds by epoch with 95 % bands, a line per cell; None without data."""
    curves = {
        name: [found for trial in trials if (found := curve(trial, metric))]
        for name, trials in groups.items()
    }
    curves = {name: seeds for name, seeds in curves.items() if seeds}
    if not curves:
        return None
    marks = cells.styles(
        {name: fmean(seed[max(seed)] for seed in seeds) for name, seeds in curves.items()}
    )
    labels = [label for mark in marks.values() if (label := _label(mark))]
    with style():
        figure, axes = new_figure(2.9 + legend_inches(labels))
        for name, mark in marks.items():
            _draw_curve(axes, curves[name], mark)
        axes.set_xlabel("epoch")
        count_by_ones(axes)
        axes.set_ylabel(upright_label(metric))
        legend_below(figure, axes)
        return finish(
            figure,
            "learning-curves",
            "Learning curves",
            f"Mean {metric_name(metric)} over the completed seeds of each cell; bands are 95 % "
            f"t-intervals, epoch by epoch.{cells.unnamed_note(len(curves))}",
        )


def _draw_curve(axes: Axes, seeds: Sequence[Mapping[int, float]], mark: SeriesStyle) -> None:
    epochs = sorted(set.intersection(*(set(seed) for seed in seeds)))
    means = [cell_mean([seed[epoch] for seed in seeds]) for epoch in epochs]
    shown = [mean for mean in means if mean is not None]
    heights = [mean.mean for mean in shown]
    if mark.faint:
        axes.plot(epochs, heights, color=mark.color, **FAINT_LINE, label=_label(mark))
        return
    axes.plot(
        epochs,
        heights,
        color=mark.color,
        linestyle=mark.dash,
        marker=mark.marker,
        markersize=4,
        markevery=max(1, len(epochs) // 6),
        label=_label(mark),
    )
    if not any(math.isnan(mean.low) for mean in shown):
        low, high = [m.low for m in shown], [m.high for m in shown]
        axes.fill_between(epochs, low, high, color=mark.color, alpha=0.12, linewidth=0)


def _label(mark: SeriesStyle) -> str:
    return clip(mark.label, NAME_ROOM)


def search_curves(trials: Sequence[TrialRecord], metric: str) -> Drawing | None:
    """Draw one thin line per trial of a search; pruned trials end with a cross."""
    states = {
        TrialState.COMPLETED: (BLUE, "o", "completed"),
        TrialState.PRUNED: (ORANGE, "x", "pruned early"),
    }
    drawn = [trial for trial in trials if trial.state in states and curve(trial, metric)]
    shown = thinned(drawn, LINES)
    with style():
        figure, axes = new_figure(3.4)
        for trial in shown:
            found = curve(trial, metric)
            color, marker, label = states[trial.state]
            axes.plot(list(found), list(found.values()), color=color, linewidth=0.8, alpha=0.55)
            last = max(found)
            axes.plot(last, found[last], marker, color=color, markersize=5, label=label)
        handles, labels = axes.get_legend_handles_labels()
        if not handles:
            return None
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=2)
        axes.set_xlabel("epoch")
        count_by_ones(axes)
        axes.set_ylabel(upright_label(metric))
        return finish(
            figure,
            "learning-curves",
            "Learning curves",
            f"{metric_name(metric)} of the completed and the pruned trials by epoch, one seed "
            f"each.{told(len(shown), len(drawn))}",
        )


def score_against_speed(
    groups: Mapping[str, Sequence[TrialRecord]], metric: str, cells: CellStyles
) -> Drawing | None:
    """Draw each completed trial by its speed and its score, and their Pareto front."""
    if metric == IMAGES_PER_SECOND:
        return None
    points = {
        name: [
            (trial.score(IMAGES_PER_SECOND), trial.score(metric))
            for trial in trials
            if trial.completed
            and all(math.isfinite(trial.score(one)) for one in (IMAGES_PER_SECOND, metric))
        ]
        for name, trials in groups.items()
    }
    points = {name: mine for name, mine in points.items() if mine}
    speed = describe(IMAGES_PER_SECOND)
    together = [point for mine in points.values() for point in mine]
    if len(together) < 2:
        return None
    marks = cells.styles({name: fmean(score for _, score in mine) for name, mine in points.items()})
    labels = [label for mark in marks.values() if (label := _label(mark))] if len(marks) > 1 else []
    front = sorted(together[i] for i in undominated(together, [speed.higher, cells.higher]))
    shown = {name: thinned(mine, POINTS) for name, mine in points.items()}
    note = told(sum(map(len, shown.values())), len(together))
    with style():
        figure, axes = new_figure(2.9 + legend_inches(labels))
        axes.plot(*zip(*front, strict=True), color=MUTED, linewidth=1, linestyle=":", zorder=1)
        for name, mark in marks.items():
            drawn = FAINT_POINT if mark.faint else POINT
            places = zip(*shown[name], strict=True)
            axes.plot(*places, mark.marker, color=mark.color, label=_label(mark), **drawn)
        axes.set_xlabel(f"training speed in the last epoch ({speed.unit})")
        axes.set_ylabel(upright_label(metric))
        if labels:
            legend_below(figure, axes)
        word = score_word(metric)
        return finish(
            figure,
            f"{word.lower()}-and-speed",
            f"{word} against speed",
            "Every completed trial; the dotted line joins those that no other beats in both. "
            "Trials that ran side by side shared the machine, so that speeds of this figure are "
            f"no benchmark.{note}{cells.unnamed_note(len(points))}",
        )
