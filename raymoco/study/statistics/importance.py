"""The importance of a search's axes for its best trials, with intervals."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.study import Study, StudyDirection
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.sections import Objective

FEWEST = 20  # completed trials; with fewer the ranking is noise
TOP = 0.1  # the share of trials that counts as good,
TOP_TRIALS = 5  # but at least as many as Optuna advises
RESAMPLES = 200


@dataclass(frozen=True)
class Importance:
    """The importance of one axis for the best trials, and its bootstrap interval.

    Shares of all axes add up to 1. `low` and `high` are the 2.5th and 97.5th percentiles over
    resamples of the trials.
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
    """Compute the PED-ANOVA importance of each axis, largest first.

    Only completed trials have a last evaluation: where a scheduler stops the others early, these
    are the survivors, and an axis whose bad values were all stopped looks less important than it
    is. The switch of an axis with `or` counts as part of the axis.

    Args:
        trials: of a search; only completed ones are used.
        axes: of the search.
        objective: by which trials are ranked.
    Returns:
        None with fewer than FEWEST completed trials, and where nearly all trials scored the same,
        so
            that nothing distinguishes the best.
    Source: Watanabe et al. 2023, "PED-ANOVA", arXiv:2304.10255, as Optuna implements it.
    """
    completed = sorted(
        (
            trial
            for trial in trials
            if trial.completed and math.isfinite(trial.score(objective.metric))
        ),
        key=lambda trial: trial.trial_id,
    )
    if len(completed) < FEWEST:
        return None
    frozen = [_frozen(trial, axes, objective) for trial in completed]
    generator = np.random.default_rng(0)
    with _quiet():
        shares = _shares(frozen, axes, objective)
        if not any(shares):
            return None
        drawn = [
            _shares([frozen[i] for i in chosen], axes, objective)
            for chosen in generator.integers(len(frozen), size=(resamples, len(frozen)))
        ]
    found = []
    for number, axis in enumerate(axes):
        low, high = np.percentile([one[number] for one in drawn], [2.5, 97.5])
        found.append(Importance(axis, shares[number], float(low), float(high)))
    return sorted(found, key=lambda one: -one.share)


def _frozen(trial: TrialRecord, axes: Mapping[str, Axis], objective: Objective) -> FrozenTrial:
    """Convert a trial to Optuna's form."""
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
        value=trial.score(objective.metric),
    )


def _shares(
    trials: Sequence[FrozenTrial], axes: Mapping[str, Axis], objective: Objective
) -> list[float]:
    """Return the share of each axis; all 0 where the best trials do not differ from the rest."""
    higher = objective.mode == "max"
    study = _Resample(StudyDirection.MAXIMIZE if higher else StudyDirection.MINIMIZE, trials)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(TOP, TOP_TRIALS / len(trials)))
    found = evaluator.evaluate(study)
    raw = [found.get(axis, 0.0) + found.get(f"{axis}:on", 0.0) for axis in axes]
    total = math.fsum(raw)
    return [value / total if total > 0 else 0.0 for value in raw]


class _Resample(Study):
    """A study with these trials; adding them to one copies each, which takes ten times as long."""

    def __init__(self, direction: StudyDirection, trials: Sequence[FrozenTrial]) -> None:
        self.__dict__.update(optuna.create_study(direction=direction).__dict__)
        self._drawn = [copy.copy(trial) for trial in trials]
        for number, trial in enumerate(self._drawn):  # one may have been drawn twice
            trial.number = trial._trial_id = number

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._drawn


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress Optuna's log line for each resample, and its warnings."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            # a resample may contain hardly any `or` value: its share is then small, as it
            # should be
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
