"""Figures of a search: the values of its trials and their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from raymoco.study.journal.events import TrialState
from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.report.document import Drawing
from raymoco.study.report.figure_style import (
    BLUE,
    BROAD,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    STEPS,
    VERMILLION,
    count_by_ones,
    finish,
    new_figure,
    style,
)
from raymoco.study.report.findings import curve
from raymoco.study.report.labels import axis_label, metric_label, metric_name, upright_label
from raymoco.study.report.thinning import LINES, POINTS, thinned, told
from raymoco.study.statistics.importance import Importance
from raymoco.study.statistics.paired import best_so_far
from raymoco.study.sweepfile.axis import Axis, format_value
from raymoco.study.sweepfile.sections import Objective

UNSET = -0.08  # the place of a trial on an axis that it does not have


class Ruler:
    """Maps the values of a search axis to places from 0 to 1.

    A number is placed by its size, logarithmically where the axis is; a choice by its index in the
    list; the `or` value is separate, at the left end.
    """

    def __init__(self, axis: Axis) -> None:
        self.axis = axis
        self._left = 0.18 if axis.or_ is not None else 0.0

    def place(self, value: object) -> float:
        """Return the place of a value, 0 to 1."""
        axis = self.axis
        if axis.choice is not None:
            return (axis.choice.index(value) + 0.5) / len(axis.choice)
        if axis.or_ is not None and value == axis.or_:
            return 0.04
        low, high = self._ends()
        at = float(value)  # type: ignore[arg-type]
        if axis.loguniform is not None:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return self._left + (1 - self._left) * (at - low) / (high - low)

    def ticks(self) -> tuple[list[float], list[str]]:
        """Return places and names of a few values."""
        axis = self.axis
        if axis.choice is not None:
            return [self.place(value) for value in axis.choice], [str(v) for v in axis.choice]
        low, high = self._ends()
        values: list[float] = [low, (low + high) / 2, high]
        if axis.loguniform is not None:
            values = [low, math.sqrt(low * high), high]
        elif axis.int_ is not None:
            values = sorted({low, round((low + high) / 2), high})
        places, names = [self.place(v) for v in values], [format_value(v) for v in values]
        if axis.or_ is not None:
            places, names = [0.04, *places], [f"{format_value(axis.or_)}", *names]
        return places, names

    @property
    def scale(self) -> str:
        """A note about the scale for the axis label."""
        return ", log scale" if self.axis.loguniform is not None else ""

    def _ends(self) -> tuple[float, float]:
        ends = self.axis.loguniform or self.axis.uniform or self.axis.int_
        assert ends is not None
        return ends


def _scored(trials: Sequence[TrialRecord], *metrics: str) -> list[TrialRecord]:
    """Return the completed trials with a score in each of the metrics."""
    done = [trial for trial in trials if trial.completed]
    return [t for t in done if all(math.isfinite(t.score(metric)) for metric in metrics)]


def best_curve(trials: Sequence[TrialRecord], objective: Objective) -> Drawing | None:
    """Draw the best score so far after each completed trial, in the order of their ends."""
    done = sorted(_scored(trials, objective.metric), key=lambda trial: trial.ended or 0.0)
    if len(done) < 2:
        return None
    scores = [trial.score(objective.metric) for trial in done]
    with style():
        figure, axes = new_figure(2.8)
        count = range(1, len(done) + 1)
        points = thinned(list(zip(count, scores, strict=True)), POINTS)
        axes.plot(
            *zip(*points, strict=True), "o", color=BLUE, markersize=4, alpha=0.5, label="a trial"
        )
        best = best_so_far(scores, higher=objective.mode == "max")
        # a step where it changes, and the end
        steps = [n for n in range(len(best)) if n in (0, len(best) - 1) or best[n] != best[n - 1]]
        axes.step(
            [count[n] for n in steps],
            [best[n] for n in steps],
            where="post",
            color=INK,
            label="best so far",
        )
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        axes.set_xlabel("completed trials")
        count_by_ones(axes)
        axes.set_ylabel(upright_label(objective.metric))
        return finish(
            figure,
            "best-so-far",
            "Best so far",
            "The line gets better by luck too: it is the best of ever more draws, not an estimate."
            + told(len(points), len(done)),
        )


def front_chart(
    trials: Sequence[TrialRecord], front: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> Drawing:
    """Draw the completed trials by their first two objectives, with the Pareto front."""
    one, two = (objective.metric for objective in objectives[:2])
    done = _scored(trials, one, two)
    with style():
        figure, axes = new_figure(3.3)
        ahead = {trial.trial_id for trial in front}
        beaten = [trial for trial in done if trial.trial_id not in ahead]
        rest = thinned(beaten, POINTS)
        axes.plot([t.score(one) for t in rest], [t.score(two) for t in rest], "o", color=BLUE,
                  alpha=0.5, markersize=5, label="beaten")  # fmt: skip
        best = sorted((t.score(one), t.score(two)) for t in front)
        joined = ":" if len(objectives) == 2 else ""
        axes.plot(*zip(*best, strict=True), marker="D", linestyle=joined, color=VERMILLION,
                  label="Pareto front")  # fmt: skip
        axes.set_xlabel(metric_label(one))
        axes.set_ylabel(upright_label(two))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return finish(
            figure,
            "pareto-front",
            "Pareto front",
            "Completed trials by the first two objectives; no trial beats one of the front in "
            f"every objective.{told(len(rest) + len(front), len(done))}",
        )


def parallel_coordinates(
    trials: Sequence[TrialRecord], axes_of: Mapping[str, Axis], objective: Objective
) -> Drawing | None:
    """Draw each completed trial as a line through its values; the darker, the better."""
    done = _scored(trials, objective.metric)
    if len(done) < 2:
        return None
    scores = np.array([trial.score(objective.metric) for trial in done])
    low, high = float(scores.min()), float(scores.max())
    spread = (high - low) or 1.0
    order = np.argsort(scores if objective.mode == "max" else -scores)
    shown = thinned(list(enumerate(order)), LINES)  # along the ranks, the best among them
    rulers = {key: Ruler(axis) for key, axis in axes_of.items()}
    with style():
        figure, axes = new_figure(3.9, max(BROAD, 1.15 * (len(rulers) + 1)))
        generator = np.random.default_rng(0)  # separates lines that would overlap
        for rank, index in shown:
            trial = done[index]
            heights = [
                (ruler.place(trial.values[key]) if key in trial.values else UNSET)
                + (generator.uniform(-0.02, 0.02) if ruler.axis.choice else 0.0)
                for key, ruler in rulers.items()
            ]
            heights.append((float(scores[index]) - low) / spread)
            step = STEPS[min(len(STEPS) - 1, rank * len(STEPS) // len(done))]
            best = rank == len(done) - 1
            color, width = (VERMILLION, 2.4) if best else (step, 1.3)
            axes.plot(heights, color=color, linewidth=width, zorder=2 + rank / len(done))
        for number, ruler in enumerate(rulers.values()):
            _upright(axes, number, *ruler.ticks())
        _upright(axes, len(rulers), [0, 1], [f"{low:.3f}", f"{high:.3f}"])
        names = [axis_label(key).replace(" ", "\n") for key in rulers]
        axes.set_xticks(range(len(rulers) + 1), [*names, "score"], fontsize=8.5)
        axes.set_yticks([])
        axes.set_xlim(-0.15, len(rulers) + 0.55)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        return finish(
            figure,
            "parallel-coordinates",
            "Parallel coordinates",
            f"Completed trials; score: {metric_name(objective.metric)}. The darker (on a dark "
            "page: the brighter) a line, the better its trial ranks; the best one is thick. Axes "
            "with log-uniform values are logarithmic."
            + told(len(shown), len(done), "evenly chosen along their ranks, the best among them"),
        )


def slices(
    trials: Sequence[TrialRecord], axes_of: Mapping[str, Axis], objective: Objective
) -> list[Drawing]:
    """Draw the score along each axis; pruned trials are marked by a cross."""
    scored = [
        (trial, found[max(found)])
        for trial in trials
        if trial.state in (TrialState.COMPLETED, TrialState.PRUNED)
        and (found := curve(trial, objective.metric))
    ]
    if len(scored) < 2:
        return []
    drawings, there_are = [], len(scored)
    if there_are > POINTS:
        sign = 1 if objective.mode == "max" else -1
        scored.sort(key=lambda one: sign * one[1])
        scored = thinned(scored, POINTS)  # the best is the last, and stays
    note = told(len(scored), there_are, "evenly chosen along their scores, the best among them")
    for key, axis in axes_of.items():
        ruler = Ruler(axis)
        with style():
            figure, axes = new_figure(2.9)
            for state, marker, color, label in (
                (TrialState.PRUNED, "x", ORANGE, "pruned early, at its last evaluation"),
                (TrialState.COMPLETED, "o", BLUE, "completed"),
            ):
                mine = [
                    (ruler.place(trial.values[key]), score)
                    for trial, score in scored
                    if trial.state == state and key in trial.values
                ]
                if mine:
                    axes.plot(
                        *zip(*mine, strict=True),
                        marker,
                        color=color,
                        markersize=5,
                        alpha=0.8,
                        label=label,
                    )
            axes.set_xticks(*ruler.ticks())
            axes.set_xlim(-0.03, 1.05)
            axes.set_xlabel(f"{axis_label(key)}{ruler.scale}")
            axes.set_ylabel(upright_label(objective.metric))
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
            drawings.append(
                finish(
                    figure,
                    f"slice-{key}",
                    f"Slice: {axis_label(key)}",
                    f"Completed and pruned trials by {key}, whatever their other values were."
                    + note,
                )
            )
    return drawings


def importance_chart(found: Sequence[Importance]) -> Drawing:
    """Draw each axis's share with its bootstrap interval."""
    with style():
        figure, axes = new_figure(0.9 + 0.46 * len(found))
        for height, one in zip(range(len(found), 0, -1), found, strict=True):
            axes.barh(height - 0.12, one.share, height=0.26, color=BLUE)
            axes.plot([one.low, one.high], [height - 0.12] * 2, color=INK, marker="|", markersize=8)
            axes.annotate(
                axis_label(one.axis),
                (0, height + 0.06),
                xycoords=("axes fraction", "data"),
                va="bottom",
                fontsize=9,
            )
        axes.set_ylim(0.5, len(found) + 0.6)
        axes.set_xlim(0, 1)
        axes.set_yticks([])
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of importance (PED-ANOVA)")
        return finish(
            figure,
            "importance",
            "Importance of the axes",
            "What sets the best trials apart from all completed ones. Lines: 95 % bootstrap "
            "intervals over trials. Only trials that survived pruning count: an axis whose bad "
            "values were all stopped early looks less important than it is.",
        )


def _upright(axes: Axes, x: int, places: Sequence[float], names: Sequence[str]) -> None:
    axes.plot([x, x], [0, 1], color=MUTED, linewidth=1, zorder=4)
    for place, name in zip(places, names, strict=True):
        axes.plot(x, place, marker="_", color=MUTED, markersize=6, zorder=5)
        box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        axes.annotate(
            name, (x + 0.07, place), fontsize=8, va="center", bbox=box, zorder=6, color=INK
        )
