"""`scheduler: pbt` in a sweep file: its options and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raymoco.config import Count, RunConfig, StrictModel, changeable_keys
from raymoco.errors import ConfigError

if TYPE_CHECKING:
    from raymoco.study.sweepfile.search_spec import SearchSpec


class PopulationRules:
    """The rules of population-based training; not a SearchScheduler: it trains without Ray Tune."""

    class Options(StrictModel):
        """The options beside the name in the sweep file."""

        every_epochs: Count
        quantile: float
        resample: float

    def check(self, options: Options, spec: SearchSpec, base: RunConfig) -> None:
        """Refuse keys that cannot change during a run, and a sampler beside the population.

        Raises:
            ConfigError: names the key.
        """
        for key, axis in spec.search.items():
            if key not in changeable_keys(base):
                raise ConfigError(
                    f"scheduler pbt cannot change {key} in the middle of a run. It can change "
                    f"{', '.join(changeable_keys(base))}.",
                    ("search", key),
                )
            if axis.conditions:
                raise ConfigError("scheduler pbt knows no `when`.", ("search", key, "when"))
        every = options.every_epochs
        if every >= base.epochs:
            raise ConfigError(
                f"scheduler.every_epochs is {every}, but must be below run.epochs, {base.epochs}: "
                "no member would ever continue from another.",
                ("scheduler", "every_epochs"),
            )
        for key, step in (("eval", base.eval.every), ("checkpoint", base.checkpoint.every)):
            if every % step:
                raise ConfigError(
                    f"scheduler.every_epochs is {every}, but must be a multiple of "
                    f"run.{key}.every, {step}.",
                    ("scheduler", "every_epochs"),
                )
        if spec.budget.trials < 2:
            raise ConfigError(
                "budget.trials is 1, but a population needs two.", ("budget", "trials")
            )
        if spec.enqueue or spec.warm_start:
            what = "enqueue" if spec.enqueue else "warm_start"
            raise ConfigError(f"scheduler pbt draws its own population: leave out {what}.", (what,))
        said = spec.sampler.name if "name" in spec.sampler.model_fields_set else "random"
        if said != "random":
            raise ConfigError(
                f"sampler is {said}, but scheduler pbt draws its own population: leave the sampler "
                "out, or say random.",
                ("sampler",),
            )
