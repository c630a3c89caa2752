"""The sections of a sweep file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from raymoco.config import Count, Positive, ScaleConfig, Seed, StrictModel
from raymoco.metrics import EVAL_KNN, TEST_KNN, describe, is_measured, optimizable
from raymoco.study.sweepfile.axis import Axis
from raymoco.yamlfile import nearest

LevelName = Annotated[str, WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]


def each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse a seed that is given twice: it would be one trial under two names."""
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds are {list(seeds)}, but each must be there once")
    return seeds


def require_metric(metric: str, known: Sequence[str]) -> None:
    """Refuse a metric that is not among those known, and name the nearest.

    What may be somebody else's protocol's is looked at with the base run, which names protocols.
    """
    if metric not in known and not is_measured(metric):
        raise ValueError(
            f"no trial reports '{metric}'{nearest(metric, known)} There are: {', '.join(known)}"
        )


class Objective(StrictModel):
    """What a search optimizes; test metrics are refused, they are for the end."""

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
    """How many gangs run at once, and how many hours the sweep may take."""

    concurrent: Count = 2
    hours: Positive | None = None


class Budget(Pace):
    """When a search ends: trials, hours, or a target that the objective reaches."""

    trials: Count = 16
    target: float | None = None


class GangConfig(ScaleConfig):
    """The resources of each gang, how long it may be silent, and how often a trial is retried.

    A trial that fails is tried again from its last checkpoint, at most `max_failures` times.
    Nothing heard for `stall_timeout_s` is such a failure; `trial_timeout_s` in all ends the trial.
    Between reports a gang signals that it is alive, and asks whether to stop, every
    `check_every` steps.
    """

    isolation: Literal["warm_gang", "fresh_gang"] = "warm_gang"
    max_failures: Annotated[int, Field(ge=0)] = 2
    stall_timeout_s: Positive = 1800
    trial_timeout_s: Positive | None = None
    check_every: Count = 50

    @property
    def scale(self) -> ScaleConfig:
        """Workers and what they hold: what a run's config knows of its gang."""
        return ScaleConfig(**{name: getattr(self, name) for name in ScaleConfig.model_fields})


class Confirm(StrictModel):
    """After a search, train the best and the default again, with seeds that chose nothing."""

    top: Count = 3
    seeds: Annotated[tuple[Seed, ...], Field(min_length=2)] = (100, 101, 102)

    _once = field_validator("seeds")(each_once)


class Tune(StrictModel):
    """Tune nuisance axes inside each cell of an ablation: all cells try the same settings."""

    axes: Annotated[dict[str, Axis], Field(min_length=1)]
    trials: Annotated[int, Field(ge=2)] = 8
    seed: Seed = 1000


WHOLE_SWEEPS = ("output", "tracking", "scale")  # keys of a run that the sweep itself has
DEFAULT = "default"  # the cell of a confirmation that is the run as it stands

CONFIRMED = TEST_KNN  # what a confirmation is judged by
