"""Optuna's samplers by name, each with its own options."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from pydantic import ConfigDict, Field, ValidationError, model_validator

from raymoco.config import Count, Part
from raymoco.errors import ConfigError
from raymoco.study.searchspace import SearchSpace
from raymoco.yamlfile import nearest

SamplerName = Literal["tpe", "random", "cmaes", "qmc", "gp", "grid"]
STARTUP = 6
LEARNING = ("tpe", "cmaes", "gp")  # the others ask without looking at what came out


class TpeOptions(Part):
    """Of optuna.samplers.TPESampler."""

    n_ei_candidates: Count = 24
    multivariate: bool | None = None  # Optuna: true for one objective, false for several
    group: bool | None = None  # true where an axis has `or` or `when`, unless multivariate is false
    constant_liar: bool = True

    @model_validator(mode="after")
    def _group_is_multivariate(self) -> TpeOptions:
        if self.group and self.multivariate is False:
            raise ValueError("group is true, so multivariate must not be false")
        return self


class CmaesOptions(Part):
    """Of optuna.samplers.CmaEsSampler."""

    popsize: Annotated[int, Field(ge=2)] | None = None
    with_margin: bool = False
    use_separable_cma: bool = False
    lr_adapt: bool = False
    consider_pruned_trials: bool = False

    @model_validator(mode="after")
    def _one_variant(self) -> CmaesOptions:
        chosen = [n for n in ("with_margin", "use_separable_cma", "lr_adapt") if getattr(self, n)]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} are true, but only one of them can be")
        return self


class QmcOptions(Part):
    """Of optuna.samplers.QMCSampler."""

    qmc_type: Literal["sobol", "halton"] = "sobol"
    scramble: bool = False


class GpOptions(Part):
    """Of optuna.samplers.GPSampler."""

    deterministic_objective: bool = False


class NoOptions(Part):
    """Of the random and the grid sampler."""


OPTIONS: dict[str, type[Part]] = {
    "tpe": TpeOptions,
    "random": NoOptions,
    "cmaes": CmaesOptions,
    "qmc": QmcOptions,
    "gp": GpOptions,
    "grid": NoOptions,
}


def _describe_options(schema: dict[str, Any]) -> None:
    """Say in the JSON Schema which options belong to which name."""
    schema["allOf"] = [
        {
            "if": {
                "properties": {"name": {"const": name}},
                **({} if name == "tpe" else {"required": ["name"]}),  # tpe is the default
            },
            "then": {"properties": {"options": model.model_json_schema()}},
        }
        for name, model in OPTIONS.items()
    ]


class Sampler(Part):
    """Who proposes; `startup_trials` are random before it believes what it has seen.

    `options` are the sampler's own, by Optuna's names.
    """

    model_config = ConfigDict(json_schema_extra=_describe_options)

    name: SamplerName = "tpe"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    startup_trials: Count = STARTUP
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_options(self) -> Sampler:
        model = OPTIONS[self.name]
        for key in self.options:
            if key in ("n_startup_trials", "seed"):
                instead = "startup_trials" if key == "n_startup_trials" else key
                raise ValueError(f"options.{key} is given beside options: set {instead} instead")
            if key not in model.model_fields:
                owners = [n for n, other in OPTIONS.items() if key in other.model_fields]
                hint = f"; it belongs to {' and '.join(owners)}" if owners else ""
                known = ", ".join(model.model_fields) or "none"
                close = nearest(key, model.model_fields)
                raise ValueError(
                    f"sampler {self.name} has no option '{key}'{hint or close.removesuffix('.')}"
                    f"{'' if close.endswith('?') and not hint else '.'} Its options are: {known}"
                )
        try:
            model.model_validate(self.options)
        except ValidationError as error:
            problem = error.errors()[0]
            reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
            if problem["type"] == "value_error":
                raise ValueError(f"options: {reason}") from None
            key = ".".join(map(str, problem["loc"]))
            raise ValueError(
                f"options.{key} is {problem['input']!r}, but must {reason.removeprefix('should ')}"
            ) from None
        return self

    @property
    def chosen(self) -> Any:
        """The options with their defaults: one of the `...Options`."""
        return OPTIONS[self.name].model_validate(self.options)


def check_sampler(sampler: Sampler, space: SearchSpace, objectives: int) -> None:
    """Refuse a sampler that cannot search this space.

    Raises:
        ConfigError: says which axis or setting stands against it.
    """
    if sampler.name == "grid":
        space.grid()
    if sampler.name != "cmaes":
        return
    if objectives > 1:
        raise ConfigError(
            f"sampler cmaes knows one objective, but there are {objectives}: use tpe, gp, qmc or "
            "random."
        )
    if len(_numbers(space)) < 2:
        moved = ", ".join(_numbers(space)) or "none"
        raise ConfigError(
            "sampler cmaes moves numbers only, at least two that every trial has (no choice, `or` "
            f"or `when`), but here are: {moved}. Use tpe or gp."
        )


def _numbers(space: SearchSpace) -> dict[str, BaseDistribution]:
    return {
        name: distribution
        for name, distribution in space.always().items()
        if not isinstance(distribution, CategoricalDistribution)
    }


def independent_axes(sampler: Sampler, space: SearchSpace) -> list[str]:
    """The axes that the sampler cannot move together with the others, and draws at random."""
    together = {"cmaes": _numbers(space), "gp": space.always()}.get(sampler.name)
    return [] if together is None else [key for key in space.axes if key not in together]


def learns_from_pruned(sampler: Sampler) -> bool:
    """Whether a trial that was stopped early tells the sampler anything; TPE ranks it last."""
    if sampler.name == "cmaes":
        return bool(sampler.chosen.consider_pruned_trials)
    return sampler.name != "gp"


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


assert set(OPTIONS) == set(get_args(SamplerName))
