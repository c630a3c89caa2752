"""Build Optuna's samplers from their options."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from raymoco.study.sweepfile.sampler_options import Sampler, TpeOptions, _numbers
from raymoco.study.sweepfile.search_space import SearchSpace


def build_sampler(
    sampler: Sampler, space: SearchSpace, number: int, earlier: Sequence[FrozenTrial] = ()
) -> optuna.samplers.BaseSampler:
    """The sampler for the trial with this number, counted without those that nobody saw.

    A sampler of its own for each trial: what it draws depends on (seed, number) and on what the
    study knows, not on how long this process has lived. QMC is one sequence and takes its next
    point, so its seed stays.

    Args:
        earlier: trials of another sweep. CMA-ES starts at the distribution of the good ones; the
            others that learn find them in the study.
    """
    seed = (sampler.seed * 1_000_003 + number) % 2**32
    chosen = sampler.chosen
    with warnings.catch_warnings():
        # options that Optuna calls experimental were asked for by name
        warnings.simplefilter("ignore", ExperimentalWarning)
        if sampler.name == "tpe":
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=sampler.startup_trials, **_tpe_options(chosen, space)
            )
        if sampler.name == "cmaes":
            source = _source_trials(space, earlier)
            return optuna.samplers.CmaEsSampler(
                seed=seed,
                n_startup_trials=sampler.startup_trials,
                warn_independent_sampling=False,
                source_trials=source or None,
                **chosen.model_dump(),
            )
        if sampler.name == "gp":
            return optuna.samplers.GPSampler(
                seed=seed,
                n_startup_trials=sampler.startup_trials,
                warn_independent_sampling=False,
                **chosen.model_dump(),
            )
        if sampler.name == "qmc":
            return _WholeSpaceQMC(space, seed=sampler.seed, **chosen.model_dump())
    # the grid's points are given; a sampler is there for nothing but the form
    return optuna.samplers.RandomSampler(seed=seed)


def _tpe_options(chosen: TpeOptions, space: SearchSpace) -> dict[str, Any]:
    group = chosen.group
    if group is None:
        # the axes of a conditional space have no joint density: one for each group that occurs
        conditional = space.always().keys() != space.distributions().keys()
        group = conditional and chosen.multivariate is not False
    multivariate = True if group else chosen.multivariate
    return {**chosen.model_dump(), "group": group, "multivariate": multivariate}


class _WholeSpaceQMC(optuna.samplers.QMCSampler):
    """QMC over every axis, conditional ones too.

    Optuna's takes the axes of the first trial: where that one lacks a conditional axis, it would be
    drawn at random for ever. Here its coordinate is simply left unused by trials without it.
    """

    def __init__(self, space: SearchSpace, **options: Any) -> None:
        super().__init__(warn_independent_sampling=False, **options)
        self._space = space.distributions()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {name: d for name, d in self._space.items() if not d.single()}


def _source_trials(space: SearchSpace, earlier: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Earlier trials as CMA-ES reads them: the axes that it moves, and nothing else."""
    moved = _numbers(space)
    return [
        optuna.trial.create_trial(
            params={name: trial.params[name] for name in moved},
            distributions=moved,
            values=trial.values,
        )
        for trial in earlier
        if trial.state == TrialState.COMPLETE
    ]
