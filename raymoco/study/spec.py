"""The sweep file: what to run, what varies, and when to stop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from raymoco.config import (
    Count,
    Part,
    Positive,
    RunConfig,
    ScaleConfig,
    TrackingConfig,
    axis_keys,
    build_run_config,
)
from raymoco.errors import ConfigError
from raymoco.study.space import Axis
from raymoco.yamlfile import Document, dump_yaml, nearest, parse_override, read_yaml, validate

METRICS = (
    "eval/knn_top1",
    "eval/alignment",
    "eval/uniformity",
    "eval/effective_rank",
    "train/loss",
    "train/contrast",
    "perf/images_per_second",
)


class Objective(Part):
    """What a search optimises; test metrics are refused, they are for the end."""

    metric: str = "eval/knn_top1"
    mode: Literal["max", "min"] = "max"

    @model_validator(mode="after")
    def _is_reported(self) -> Objective:
        if self.metric.startswith("test/"):
            raise ValueError(f"{self.metric} must not be searched on: use an eval/ metric")
        if self.metric not in METRICS:
            raise ValueError(
                f"no trial reports '{self.metric}'{nearest(self.metric, METRICS)} "
                f"There are: {', '.join(METRICS)}"
            )
        return self

    def better(self, a: float, b: float) -> bool:
        """Whether a is better than b."""
        return a > b if self.mode == "max" else a < b


class Sampler(Part):
    """Who proposes; `startup_trials` are random before TPE believes what it has seen."""

    name: Literal["tpe", "random"] = "tpe"
    seed: int = 0
    startup_trials: Count = 6


class Scheduler(Part):
    """Who stops early; epochs are the run's own."""

    name: Literal["asha", "none"] = "none"
    grace_epochs: Count = 5
    reduction_factor: Annotated[float, Field(gt=1)] = 3


class Budget(Part):
    """When the sweep ends: trials, hours, or a target that the objective reaches."""

    trials: Count = 16
    concurrent: Count = 2
    hours: Positive | None = None
    target: float | None = None


class Confirm(Part):
    """After a search: the best and the default again, with seeds that chose nothing."""

    top: Count = 3
    seeds: Annotated[tuple[int, ...], Field(min_length=2)] = (100, 101, 102)


class SweepSpec(Part):
    """A search: one YAML file in sweeps/. `raymoco schema sweep` prints its schema."""

    kind: Literal["search"]
    name: Annotated[str, Field(pattern=r"^\w[\w.+=-]*$")]
    run: dict[str, Any] = Field(default_factory=dict)
    search: Annotated[dict[str, Axis], Field(min_length=1)]
    objective: Objective = Objective()
    sampler: Sampler = Sampler()
    scheduler: Scheduler = Scheduler()
    budget: Budget = Budget()
    gang: ScaleConfig = ScaleConfig()
    confirm: Confirm | None = None
    output: str = "runs"
    tracking: TrackingConfig = TrackingConfig()

    def to_yaml(self) -> str:
        """The resolved file: running it again repeats the sweep."""
        return dump_yaml(self.model_dump(by_alias=True, exclude_none=True))


@dataclass(frozen=True)
class Sweep:
    """A sweep file read and checked: the spec and the run that it varies."""

    spec: SweepSpec
    base: RunConfig


def load_sweep(path: Path, overrides: Iterable[str] = ()) -> Sweep:
    """Read a sweep file, with `key=value` overrides that address the file.

    Raises:
        ConfigError: anything wrong in it, with file and line: unknown keys, an axis that no run
            has, a value on an axis that the run refuses.
    """
    document = read_yaml(path)
    for text in overrides:
        _apply(document, text)
    if document.values.get("kind") == "ablation":
        raise ConfigError(f"{path}: kind is 'ablation', which this version does not run yet.")
    run_document = document.part("run")
    for key in ("output", "tracking", "scale"):
        if key in run_document.values:
            where = run_document.origin((key,))
            instead = "gang" if key == "scale" else key
            raise ConfigError(
                f"{where}: run.{key} belongs to the whole sweep: set {instead} instead."
            )
    spec = validate(SweepSpec, document)
    base = build_run_config(run_document, prefix="run.")
    base = base.with_values(
        {
            "scale": spec.gang.model_dump(),
            "output": spec.output,
            "tracking": spec.tracking.model_dump(),
        }
    )
    for key, axis in spec.search.items():
        _check_axis(key, axis, base, document)
    resolved = base.model_dump(exclude={"scale", "output", "tracking", "name"})
    spec = spec.model_copy(update={"run": resolved})
    if spec.scheduler.name == "asha" and spec.scheduler.grace_epochs >= base.epochs:
        raise ConfigError(
            f"{path}: scheduler.grace_epochs is {spec.scheduler.grace_epochs}, but must be below "
            f"run.epochs, {base.epochs}: nothing would ever be stopped."
        )
    return Sweep(spec, base)


def _apply(document: Document, text: str) -> None:
    key, value = parse_override(text)
    origin = f"command line: {text}"
    head, _, axis = key.partition(".")
    if head == "search" and axis:  # an axis is one key, dots and all
        searched = document.values.setdefault("search", {})
        searched[axis] = value
        document.origins[("search", axis)] = origin
    else:
        document.set(key, value, origin)


def _check_axis(key: str, axis: Axis, base: RunConfig, document: Document) -> None:
    where = document.origin(("search", key))
    if key not in axis_keys():
        raise ConfigError(f"{where}: '{key}' is not an axis{nearest(key, axis_keys())}")
    for value in axis.extremes:
        try:
            base.with_values({key: value})
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
