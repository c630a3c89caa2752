"""Optuna's samplers by name, each with its own options."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from optuna.distributions import BaseDistribution, CategoricalDistribution
from pydantic import ConfigDict, Field, ValidationError, model_validator

from raymoco.config import Count, StrictModel
from raymoco.errors import ConfigError
from raymoco.study.sweepfile.search_space import SearchSpace
from raymoco.yamlfile import nearest

SamplerName = Literal["tpe", "random", "cmaes", "qmc", "gp", "grid"]
STARTUP = 6
LEARNING = ("tpe", "cmaes", "gp")  # the others ask without looking at what came out


class TpeOptions(StrictModel):
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


class CmaesOptions(StrictModel):
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


class QmcOptions(StrictModel):
    """Of optuna.samplers.QMCSampler."""

    qmc_type: Literal["sobol", "halton"] = "sobol"
    scramble: bool = False


class GpOptions(StrictModel):
    """Of optuna.samplers.GPSampler."""

    deterministic_objective: bool = False


class NoOptions(StrictModel):
    """Of the random and the grid sampler."""


OPTIONS: dict[str, type[StrictModel]] = {
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


class Sampler(StrictModel):
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


assert set(OPTIONS) == set(get_args(SamplerName))
