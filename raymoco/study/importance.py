"""Which axes of a search mattered for its best trials, and how sure that is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FixedTrial, FrozenTrial, create_trial

from raymoco.study.journal import TrialRecord
from raymoco.study.space import Axis
from raymoco.study.spec import Objective

FEWEST = 20  # completed trials; below this the ranking is noise
TOP = 0.1  # what counts as good: the best tenth,
TOP_TRIALS = 5  # but never fewer trials than Optuna advises
RESAMPLES = 200


@dataclass(frozen=True)
class Importance:
    """The share of one axis in what sets the best trials apart, and its bootstrap interval.

    Shares of all axes add up to 1. `low` and `high` are the 2.5th and 97.5th percentile over
    resamples of the trials: what other trials of the same search might have shown.
    """

    axis: str
    share: float
    low: float
    high: float


def axis_importance(
    trials: Sequence[TrialRecord],
    axes: Mapping[str, Axis],
    objective: Objective,
    *,
    resamples: int = RESAMPLES,
) -> list[Importance] | None:
    """PED-ANOVA importance by axis, largest first; None with fewer than FEWEST completed trials.

    Only completed trials have a last evaluation: where a scheduler stops the others early, these
    are the survivors, and an axis whose bad values were all stopped looks less important than it
    is. The switch of an axis with `or` is counted to the axis.

    Args:
        trials: of a search; those not completed are passed over.
        axes: the search's.
        objective: what good means.
    Source: Watanabe et al. 2023, "PED-ANOVA", arXiv:2304.10255, as Optuna implements it.
    """
    completed = sorted(
        (
            trial
            for trial in trials
            if trial.state == "completed"
            and math.isfinite(trial.final.get(objective.metric, math.nan))
        ),
        key=lambda trial: trial.trial_id,
    )
    if len(completed) < FEWEST:
        return None
    frozen = [_frozen(trial, axes, objective) for trial in completed]
    shares = _shares(frozen, axes, objective)
    generator = np.random.default_rng(0)
    drawn = [
        _shares(
            [frozen[i] for i in generator.integers(len(frozen), size=len(frozen))], axes, objective
        )
        for _ in range(resamples)
    ]
    found = []
    for number, axis in enumerate(axes):
        low, high = np.percentile([one[number] for one in drawn], [2.5, 97.5])
        found.append(Importance(axis, shares[number], float(low), float(high)))
    return sorted(found, key=lambda one: -one.share)


def _frozen(trial: TrialRecord, axes: Mapping[str, Axis], objective: Objective) -> FrozenTrial:
    """The trial as Optuna would have kept it."""
    params = {}
    held = {key: axis for key, axis in axes.items() if key in trial.values}
    for key, axis in held.items():
        params.update(axis.point(key, trial.values[key]) or {})
    fixed = FixedTrial(params)
    for key, axis in held.items():
        axis.suggest(fixed, key)
    return create_trial(
        params=fixed.params,
        distributions=fixed.distributions,
        value=float(trial.final[objective.metric]),
    )


def _shares(
    trials: Sequence[FrozenTrial], axes: Mapping[str, Axis], objective: Objective
) -> list[float]:
    study = optuna.create_study(direction="maximize" if objective.mode == "max" else "minimize")
    study.add_trials(trials)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(TOP, TOP_TRIALS / len(trials)))
    with warnings.catch_warnings():
        # a resample may hold an `or` value hardly ever: its share is small then, and so it should
        warnings.simplefilter("ignore", UserWarning)
        found = evaluator.evaluate(study)
    raw = [found.get(axis, 0.0) + found.get(f"{axis}:on", 0.0) for axis in axes]
    total = math.fsum(raw)
    return [value / total if total > 0 else 1 / len(raw) for value in raw]
