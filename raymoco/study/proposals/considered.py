"""Optuna's TPE over a bounded number of trials, so that asking does not get ever slower."""

from __future__ import annotations

import heapq
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import Study, StudyDirection
from optuna.study._multi_objective import _fast_non_domination_rank
from optuna.trial import FrozenTrial, TrialState

MOST = 1000  # ended trials that the sampler considers
KEPT = 100  # of them the best; TPE itself tells its 25 best from the others


class BoundedTpe(TPESampler):
    """TPE that considers all trials up to a thousand, then the best and a sample of the others.

    TPE compares the density of its best trials with that of all others. The best are all kept, and
    the others are thinned out evenly in the order of their numbers, which leaves their density as
    it is.
    """

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return super().infer_relative_search_space(self._bounded(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return super().sample_relative(self._bounded(study), trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        bounded = self._bounded(study)
        return super().sample_independent(bounded, trial, param_name, param_distribution)

    def _bounded(self, study: Study) -> Study:
        """Return the study with the trials to consider; one sampler is for one trial."""
        if not hasattr(self, "_considered"):
            trials = study._get_trials(deepcopy=False, states=None, use_cache=False)
            ended = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
            self._considered = study
            if len(ended) > MOST:
                running = [t for t in trials if t.state == TrialState.RUNNING]
                chosen = [*thinned(ended, study.directions), *running]
                self._considered = _Considered(study, chosen)
        return self._considered


class _Considered(Study):
    """A study with some of its trials."""

    def __init__(self, study: Study, trials: Sequence[FrozenTrial]) -> None:
        self.__dict__.update(study.__dict__)
        self._chosen = trials

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        return [t for t in self._chosen if states is None or t.state in states]


def thinned(
    ended: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    """Return the best of the ended trials and an even sample of the others, in their order."""
    best = {trial.number for trial in _best(ended, directions)}
    others = [trial for trial in ended if trial.number not in best]
    places = np.linspace(0, len(others) - 1, MOST - len(best)).round().astype(int)
    kept = best | {others[place].number for place in places}
    return [trial for trial in ended if trial.number in kept]


def _best(
    ended: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> Sequence[FrozenTrial]:
    signs = [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in directions]
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    if len(signs) == 1:
        best = heapq.nsmallest(KEPT, complete, key=lambda trial: signs[0] * trial.values[0])
        if len(best) == KEPT:
            return best
        # TPE ranks pruned trials behind them: the further they came, the better
        pruned = [trial for trial in ended if trial.state == TrialState.PRUNED]
        return [*best, *heapq.nsmallest(KEPT - len(best), pruned, key=lambda t: _came(t, signs[0]))]
    if len(complete) <= KEPT:
        return complete
    losses = np.array([trial.values for trial in complete]) * signs
    ranks = _fast_non_domination_rank(losses, n_below=KEPT)
    return [complete[place] for place in np.argsort(ranks, kind="stable")[:KEPT]]


def _came(trial: FrozenTrial, sign: float) -> tuple[float, float]:
    if not trial.intermediate_values:
        return 1.0, 0.0
    step, value = max(trial.intermediate_values.items())
    return -step, float("inf") if np.isnan(value) else sign * value
