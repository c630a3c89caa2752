"""The sections of a sweep file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from raymoco.config import Count, Positive, ScaleConfig, Seed, StrictModel
from raymoco.metrics import EVAL_KNN, TEST_KNN, describe, is_measured, optimizable
from raymoco.study.sweepfile.axis import Axis, setting_count
from raymoco.yamlfile import nearest

LevelName = Annotated[str, WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]


def each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse duplicate seeds, which would be the same trial twice."""
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds are {list(seeds)}, but each must be there once")
    return seeds


def require_metric(metric: str, known: Sequence[str]) -> None:
    """Refuse an unknown metric, and name the nearest known one.

    A metric that may be a third-party protocol's is checked later, with the base run.
    """
    if metric not in known and not is_measured(metric):
        raise ValueError(
            f"no trial reports '{metric}'{nearest(metric, known)} There are: {', '.join(known)}"
        )


class Objective(StrictModel):
    """The metric that a search optimizes; test metrics are refused."""

    metric: str = EVAL_KNN
    mode: Literal["max", "min"] = "max"

    @model_validator(mode="after")
    def _is_reported(self) -> Objective:
        if describe(self.metric).split == "test":
            raise ValueError(f"{self.metric} must not be searched on: use an eval/ metric")
        require_metric(self.metric, optimizable())  # of all configs; the base run has its own
        return self

    def better(self, a: float, b: float) -> bool:
        """Whether a is better than b."""
        return a > b if self.mode == "max" else a < b


class Pace(StrictModel):
    """The number of gangs at once, and the hours that the sweep may take."""

    concurrent: Count = 2
    hours: Positive | None = None


class Budget(Pace):
    """The budget of a search: trials, hours, or a target of the objective."""

    trials: Count = 16
    target: float | None = None


class GangConfig(ScaleConfig):
    """The resources of each gang, its timeouts, and how often a trial is retried.

    A failed trial is retried from its last checkpoint, at most `max_failures` times. Silence for
    `stall_timeout_s` counts as a failure; after `trial_timeout_s` in all the trial ends. Between
    reports a gang signals that it is alive, and asks whether to stop, every `check_every` steps.
    """

    isolation: Literal["warm_gang", "fresh_gang"] = "warm_gang"
    max_failures: Annotated[int, Field(ge=0)] = 2
    stall_timeout_s: Positive = 1800
    trial_timeout_s: Positive | None = None
    check_every: Count = 50

    @property
    def scale(self) -> ScaleConfig:
        """The workers and their resources, for a run's config."""
        return ScaleConfig(**{name: getattr(self, name) for name in ScaleConfig.model_fields})


DEFAULT = "default"  # the cell of a confirmation with the run's own values
TRIAL_NAME = r"t\d+(-r\d+)?"  # how the trials of a search are called


class Confirm(StrictModel):
    """After a search, train the best trials and the default again, with fresh seeds.

    `against` has further baselines by name: the values by which each differs from the run.
    """

    top: Count = 3
    seeds: Annotated[tuple[Seed, ...], Field(min_length=2)] = (100, 101, 102)
    against: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z][\w.+=-]*$")],
        Annotated[dict[str, Any], Field(min_length=1)],
    ] = Field(default_factory=dict)

    _once = field_validator("seeds")(each_once)

    @property
    def comparisons(self) -> int:
        """How many there are: each best with the default, best and default with each baseline."""
        return self.top + 2 * len(self.against)

    @field_validator("against")
    @classmethod
    def _names_are_free(cls, against: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name in against:
            if name == DEFAULT or re.fullmatch(TRIAL_NAME, name):
                raise ValueError(f"'{name}' is what a trial is called: name the baseline otherwise")
        return against


class Tune(StrictModel):
    """Tune nuisance axes in each cell of an ablation: all cells try the same settings.

    An axis whose key a cell's level sets is not tuned in this cell.

    `seeds` instead of `seed` tunes anew with each of them, so that the luck of tuning is in the
    intervals of the comparison.
    """

    axes: Annotated[dict[str, Axis], Field(min_length=1)]
    trials: Annotated[int, Field(ge=2)] = 8
    seed: Seed = 1000
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] | None = None

    @field_validator("seeds")
    @classmethod
    def _once(cls, seeds: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return None if seeds is None else each_once(seeds)

    @model_validator(mode="after")
    def _one_of_both(self) -> Tune:
        if self.seeds is not None and "seed" in self.model_fields_set:
            raise ValueError(
                f"tune has seed {self.seed} and seeds {list(self.seeds)}, but only one of the keys "
                "may be there"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        # a file of version 0.1 has no `seeds`, and must not change
        values.pop("seeds" if self.seeds is None else "seed", None)
        return values

    @property
    def tunings(self) -> tuple[int, ...]:
        """The seeds with which every cell is tuned, each time anew."""
        return (self.seed,) if self.seeds is None else self.seeds

    def settings(self, axes: Mapping[str, Axis]) -> int:
        """Return how many settings of these axes a cell tries, with one tuning seed."""
        there_are = setting_count(axes)
        return self.trials if there_are is None else min(self.trials, there_are)


Spending = Literal["obrien_fleming", "bonferroni"]


class Looks(StrictModel):
    """The numbers of seeds at which an ablation looks, and how alpha is spent over the looks.

    In a file a list alone is its `seeds`.
    """

    seeds: tuple[Annotated[int, Field(ge=2)], ...]
    spending: Spending = "obrien_fleming"

    @model_validator(mode="before")
    @classmethod
    def _list_alone(cls, value: Any) -> Any:
        return {"seeds": value} if isinstance(value, list | tuple) else value

    @field_validator("seeds")
    @classmethod
    def _rise(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(seeds) < 2:
            raise ValueError(f"looks.seeds are {list(seeds)}, but one look is no plan: give two")
        if any(b <= a for a, b in pairwise(seeds)):
            raise ValueError(f"looks.seeds are {list(seeds)}, but each look must have more")
        return seeds

    @property
    def most(self) -> int:
        """The number of seeds at the last look."""
        return self.seeds[-1]

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.seeds))} ({self.spending})"


WHOLE_SWEEPS = ("output", "tracking", "scale")  # keys of a run that belong to the whole sweep

CONFIRMED = TEST_KNN  # the metric of a confirmation
