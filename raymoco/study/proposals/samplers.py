"""The samplers that raymoco ships: Optuna's with their options, and the grid."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field, model_validator

from raymoco.config import Count, StrictModel
from raymoco.errors import ConfigError
from raymoco.study.proposals.considered import BoundedTpe
from raymoco.study.sweepfile.sampler_options import Sampler
from raymoco.study.sweepfile.search_sampler import NextTrial, SearchSampler
from raymoco.study.sweepfile.search_space import SearchSpace
from raymoco.study.sweepfile.search_spec import SearchSpec


def build_sampler(
    sampler: Sampler, space: SearchSpace, number: int, earlier: Sequence[FrozenTrial] = ()
) -> BaseSampler:
    """Build the sampler for the trial with this number.

    Every trial gets a new sampler: its draws depend on (seed, number) and on the study, not on the
    history of this process.

    Args:
        earlier: trials of another sweep.
    """
    trial = NextTrial(space, sampler.seed, number, sampler.startup_trials, earlier)
    with warnings.catch_warnings():
        # the user has chosen options that Optuna calls experimental
        warnings.simplefilter("ignore", ExperimentalWarning)
        return sampler.code.build(sampler.chosen, trial)


class Tpe(SearchSampler):
    """Tree-structured Parzen estimators, optuna.samplers.TPESampler; see considered.py."""

    class Options(StrictModel):
        """The options, by Optuna's names."""

        n_ei_candidates: Count = 24
        multivariate: bool | None = None  # Optuna: true for one objective, false for several
        # true where an axis has `or` or `when`, unless multivariate is false
        group: bool | None = None
        constant_liar: bool = True

        @model_validator(mode="after")
        def _group_is_multivariate(self) -> Tpe.Options:
            if self.group and self.multivariate is False:
                raise ValueError("group is true, so multivariate must not be false")
            return self

    def build(self, options: Options, trial: NextTrial) -> BaseSampler:
        """Use one density for each group of axes that occur together, if some are conditional."""
        space, group = trial.space, options.group
        if group is None:
            # the axes of a conditional space have no joint density, so use one for each group
            conditional = space.always().keys() != space.distributions().keys()
            group = conditional and options.multivariate is not False
        multivariate = True if group else options.multivariate
        return BoundedTpe(
            seed=trial.trial_seed,
            n_startup_trials=trial.startup_trials,
            **{**options.model_dump(), "group": group, "multivariate": multivariate},
        )


class Random(SearchSampler):
    """Every axis at random, optuna.samplers.RandomSampler."""

    class Options(StrictModel):
        """None."""

    def build(self, options: Options, trial: NextTrial) -> BaseSampler:
        """Seed it by the trial."""
        return optuna.samplers.RandomSampler(seed=trial.trial_seed)

    def learns_from(self, options: Options) -> Collection[str]:
        """Nothing."""
        return ()


class Cmaes(SearchSampler):
    """CMA-ES, optuna.samplers.CmaEsSampler, on the numeric axes that every trial has."""

    class Options(StrictModel):
        """The options, by Optuna's names."""

        popsize: Annotated[int, Field(ge=2)] | None = None
        with_margin: bool = False
        use_separable_cma: bool = False
        lr_adapt: bool = False
        consider_pruned_trials: bool = False

        @model_validator(mode="after")
        def _one_variant(self) -> Cmaes.Options:
            variants = ("with_margin", "use_separable_cma", "lr_adapt")
            chosen = [name for name in variants if getattr(self, name)]
            if len(chosen) > 1:
                raise ValueError(f"{' and '.join(chosen)} are true, but only one of them can be")
            return self

    def build(self, options: Options, trial: NextTrial) -> BaseSampler:
        """Start from the distribution of the good trials of the `warm_start` sweep, if any."""
        return optuna.samplers.CmaEsSampler(
            seed=trial.trial_seed,
            n_startup_trials=trial.startup_trials,
            warn_independent_sampling=False,
            source_trials=_source_trials(trial.space, trial.earlier) or None,
            **options.model_dump(),
        )

    def learns_from(self, options: Options) -> Collection[str]:
        """Learn from pruned trials only with the option: by default Optuna leaves them out."""
        return ("completed", "pruned") if options.consider_pruned_trials else ("completed",)

    def moves(self, options: Options, space: SearchSpace) -> Collection[str]:
        """Move the numeric axes that every trial has."""
        return numeric_axes(space)

    def check(self, options: Options, spec: SearchSpec, space: SearchSpace) -> None:
        """Require one objective, two numeric axes, and no separable start with `warm_start`."""
        if spec.warm_start and options.use_separable_cma:
            raise ConfigError(
                "sampler.options.use_separable_cma is true, but with warm_start it must be false: "
                "CMA-ES would start at the spread of the earlier trials, which is not separable.",
                ("sampler", "options", "use_separable_cma"),
            )
        if len(spec.objectives) > 1:
            raise ConfigError(
                f"sampler cmaes knows one objective, but there are {len(spec.objectives)}: use "
                "tpe, gp, qmc or random.",
                ("sampler",),
            )
        if len(numeric_axes(space)) < 2:
            moved = ", ".join(numeric_axes(space)) or "none"
            raise ConfigError(
                "sampler cmaes moves numbers only, at least two that every trial has (no choice, "
                f"`or` or `when`), but here are: {moved}. Use tpe or gp.",
                ("sampler",),
            )


class Gp(SearchSampler):
    """A Gaussian process, optuna.samplers.GPSampler, on the axes that every trial has."""

    class Options(StrictModel):
        """The options, by Optuna's names."""

        deterministic_objective: bool = False

    def build(self, options: Options, trial: NextTrial) -> BaseSampler:
        """Draw the other axes at random; --dry-run lists them."""
        return optuna.samplers.GPSampler(
            seed=trial.trial_seed,
            n_startup_trials=trial.startup_trials,
            warn_independent_sampling=False,
            **options.model_dump(),
        )

    def learns_from(self, options: Options) -> Collection[str]:
        """Learn from completed trials only, as Optuna's does."""
        return ("completed",)

    def moves(self, options: Options, space: SearchSpace) -> Collection[str]:
        """Move the axes that every trial has."""
        return space.always()


class Qmc(SearchSampler):
    """Quasi-random points, optuna.samplers.QMCSampler, over every axis."""

    class Options(StrictModel):
        """The options, by Optuna's names."""

        qmc_type: Literal["sobol", "halton"] = "sobol"
        scramble: bool = False

    def build(self, options: Options, trial: NextTrial) -> BaseSampler:
        """Continue one sequence: its seed is the same for all trials."""
        return _WholeSpaceQMC(trial.space, seed=trial.seed, **options.model_dump())

    def learns_from(self, options: Options) -> Collection[str]:
        """Nothing."""
        return ()


class Grid(Random):
    """Every point of a finite space once.

    It is not Optuna's GridSampler, which does not support conditional axes and repeats the points
    of trials that run at once. The points are enqueued, and the sampler itself is never asked.
    """

    def points(self, options: Any, space: SearchSpace) -> list[dict[str, Any]]:
        """Return all points, the last axis fastest."""
        return space.grid()


class _WholeSpaceQMC(optuna.samplers.QMCSampler):
    """QMC over every axis, including conditional ones.

    Optuna's uses the axes of the first trial: a conditional axis that this trial lacks would always
    be drawn at random. Here, trials without an axis do not use its coordinate.
    """

    def __init__(self, space: SearchSpace, **options: Any) -> None:
        super().__init__(warn_independent_sampling=False, **options)
        self._space = space.distributions()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {name: d for name, d in self._space.items() if not d.single()}


def numeric_axes(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return the numeric axes that every trial has, which CMA-ES moves."""
    return {
        name: distribution
        for name, distribution in space.always().items()
        if not isinstance(distribution, CategoricalDistribution)
    }


def _source_trials(space: SearchSpace, earlier: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Convert earlier trials for CMA-ES: keep only the axes that it moves."""
    moved = numeric_axes(space)
    return [
        optuna.trial.create_trial(
            params={name: trial.params[name] for name in moved},
            distributions=moved,
            values=trial.values,
        )
        for trial in earlier
        if trial.state == TrialState.COMPLETE
    ]
