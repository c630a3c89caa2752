"""Nuisance axes of an ablation, pure: the same settings are tried in every cell.

The settings are the run's own and then quasi-random ones (Halton): they cover the axes more evenly
than random ones, every cell gets the very same, and they do not depend on which trial ends first,
so the sweep repeats.
"""

from __future__ import annotations

import math
from typing import Any

from raymoco.study.journal.events import TrialPhase
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.sweepfile.axis import Axis, setting_count
from raymoco.study.sweepfile.sections import Tune
from raymoco.study.sweepfile.sweep import AblationSpec


def tuning_points(tune: Tune, start: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings that every cell tries: where the run stands, then quasi-random ones, each once.

    Args:
        tune: the axes, and how many settings; of finite axes no more than they have.
        start: the run's own values by key; a value off its axis is left out with its setting.
    Source: Bousquet et al. 2017, "Critical Hyper-Parameters: No Random, No Cry",
        arXiv:1706.03200.
    """
    from scipy.stats import qmc  # takes a second, and a typo in a file need not wait for it

    points = []
    if all(axis.point(key, start[key]) is not None for key, axis in tune.axes.items()):
        points.append({key: start[key] for key in tune.axes})
    there_are = setting_count(tune.axes)
    wanted = tune.trials if there_are is None else min(tune.trials, there_are)
    sequence = qmc.Halton(d=len(tune.axes), scramble=True, rng=tune.seed)
    while len(points) < wanted:  # it comes near every place, so it ends
        (place,) = sequence.random()
        axes = zip(tune.axes.items(), place, strict=True)
        point = {key: value_at(axis, float(u)) for (key, axis), u in axes}
        if point not in points:  # a finite axis, and an `or`, are met again and again
            points.append(point)
    return points


def value_at(axis: Axis, u: float) -> Any:
    """The value at the share u of an axis, 0 <= u < 1; an `or` takes the lower half."""
    if axis.or_ is not None:
        if u < 0.5:
            return axis.or_
        u = 2 * u - 1
    points = axis.points
    if points is not None:
        several = points if axis.or_ is None else points[:-1]
        return several[int(u * len(several))]
    if axis.loguniform is not None:
        log_low, log_high = (math.log(end) for end in axis.loguniform)
        return math.exp(log_low + u * (log_high - log_low))
    assert axis.uniform is not None
    return axis.uniform[0] + u * (axis.uniform[1] - axis.uniform[0])


def tuning_trials(ledger: Ledger, cell: str) -> list[TrialRecord]:
    """The trials that tuned a cell, in the order of their settings."""
    found = [t for t in ledger.all() if t.cell == cell and t.phase == TrialPhase.TUNE]
    return sorted(found, key=lambda trial: trial.trial_id)


def tuned_values(spec: AblationSpec, ledger: Ledger) -> dict[str, dict[str, Any] | None]:
    """What each cell was tuned to, by its name; None where no tuning trial was completed.

    Of equal scores the first wins, and the first setting is the run's own.
    """
    assert spec.tune is not None
    objective, axes = spec.tuned_on, spec.tune.axes
    found: dict[str, dict[str, Any] | None] = {}
    for cell in spec.cells:
        best: TrialRecord | None = None
        for trial in tuning_trials(ledger, cell.name):
            score = trial.score(objective.metric)
            if not trial.completed or not math.isfinite(score):
                continue
            if best is None or objective.better(score, best.score(objective.metric)):
                best = trial
        found[cell.name] = None if best is None else {key: best.values[key] for key in axes}
    return found
