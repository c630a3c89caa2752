"""Figures of any sweep: learning curves, and accuracy against speed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from raymoco.study.journal import TrialRecord
from raymoco.study.report.document import Drawing
from raymoco.study.report.drawing import (
    BLUE,
    GRID,
    MUTED,
    ORANGE,
    count_by_ones,
    finish,
    legend_below,
    looks,
    new_figure,
    style,
)
from raymoco.study.report.findings import curve
from raymoco.study.report.wording import clip, metric_name, upright_label
from raymoco.study.statistics import cell_mean, pareto_front

SPEED = "perf/images_per_second"
NAME_ROOM = 48  # letters in a legend


def learning_curves(groups: Mapping[str, Sequence[TrialRecord]], metric: str) -> Drawing | None:
    """Mean over seeds by epoch with a 95 % band, a line per cell; None if nothing was measured."""
    curves = {
        name: [found for trial in trials if (found := curve(trial, metric))]
        for name, trials in groups.items()
    }
    curves = {name: seeds for name, seeds in curves.items() if seeds}
    if not curves:
        return None
    with style():
        figure, axes = new_figure(3.4 + 0.13 * len(curves))
        for (name, seeds), (colour, marker, dash) in zip(
            curves.items(), looks(len(curves)), strict=True
        ):
            epochs = sorted(set.intersection(*(set(one) for one in seeds)))
            means = [cell_mean([one[epoch] for one in seeds]) for epoch in epochs]
            shown = [mean for mean in means if mean is not None]
            axes.plot(
                epochs,
                [mean.mean for mean in shown],
                color=colour,
                linestyle=dash,
                marker=marker,
                markersize=4,
                markevery=max(1, len(epochs) // 6),
                label=clip(name, NAME_ROOM),
            )
            if not any(math.isnan(mean.low) for mean in shown):
                low, high = [m.low for m in shown], [m.high for m in shown]
                axes.fill_between(epochs, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.set_xlabel("epoch")
        count_by_ones(axes)
        axes.set_ylabel(upright_label(metric))
        legend_below(figure, axes, [clip(name, NAME_ROOM) for name in curves])
        return finish(
            figure,
            "learning-curves",
            "Learning curves",
            f"Mean {metric_name(metric)} over the completed seeds of each cell; bands are 95 % "
            "t-intervals, epoch by epoch.",
        )


def search_curves(trials: Sequence[TrialRecord], metric: str) -> Drawing | None:
    """One thin line per trial of a search; the stopped ones end in a cross."""
    states = {"completed": (BLUE, "o", "completed"), "pruned": (ORANGE, "x", "pruned early")}
    with style():
        figure, axes = new_figure(3.4)
        for trial in trials:
            found = curve(trial, metric)
            if not found or trial.state not in states:
                continue
            colour, marker, label = states[trial.state]
            axes.plot(list(found), list(found.values()), color=colour, linewidth=0.8, alpha=0.55)
            last = max(found)
            axes.plot(last, found[last], marker, color=colour, markersize=5, label=label)
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
            f"{metric_name(metric)} of every trial of the search by epoch; one seed each.",
        )


def accuracy_against_speed(
    groups: Mapping[str, Sequence[TrialRecord]], metric: str, *, higher: bool
) -> Drawing | None:
    """Each completed trial by its speed and its score, and the front that none of them beats."""
    points = [
        (name, trial.final[SPEED], trial.final[metric])
        for name, trials in groups.items()
        for trial in trials
        if trial.state == "completed"
        and all(math.isfinite(trial.final.get(key, math.nan)) for key in (SPEED, metric))
    ]
    if len(points) < 2 or metric == SPEED:
        return None
    named = [name for name in groups if any(point[0] == name for point in points)]
    with style():
        figure, axes = new_figure(3.3 + (0.13 * len(named) if len(named) > 1 else 0))
        front = sorted(
            (points[i][1:] for i in pareto_front([p[1:] for p in points], [True, higher])),
        )
        axes.plot(*zip(*front, strict=True), color=MUTED, linewidth=1, linestyle=":", zorder=1)
        for name, (colour, marker, _) in zip(named, looks(len(named)), strict=True):
            mine = [point[1:] for point in points if point[0] == name]
            axes.plot(
                *zip(*mine, strict=True),
                marker,
                color=colour,
                markersize=6,
                markeredgecolor=GRID,
                markeredgewidth=0.5,
                label=clip(name, NAME_ROOM),
            )
        axes.set_xlabel("training speed in the last epoch (images/s)")
        axes.set_ylabel(upright_label(metric))
        if len(named) > 1:
            legend_below(figure, axes, [clip(name, NAME_ROOM) for name in named])
        return finish(
            figure,
            "accuracy-and-speed",
            "Accuracy against speed",
            "Every completed trial; the dotted line joins those that no other beats in both. "
            "Trials that ran side by side shared the machine, so that speeds of this figure are "
            "no benchmark.",
        )
