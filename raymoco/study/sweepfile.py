"""Reading a sweep file: every mistake found before anything starts, with its file and line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymoco.config import RunConfig, axis_keys, build_run_config
from raymoco.engine.resolve import resolve
from raymoco.errors import ConfigError, InputError
from raymoco.study.spec import AblationSpec, SearchSpec
from raymoco.study.twins import refuse_twins
from raymoco.yamlfile import Document, nearest, parse_override, read_yaml, validate


@dataclass(frozen=True)
class Sweep:
    """A sweep file read and checked: the spec and the run that it varies."""

    spec: SearchSpec | AblationSpec
    base: RunConfig

    @property
    def axes(self) -> list[str]:
        """The config keys that vary."""
        return list(self.spec.search) if isinstance(self.spec, SearchSpec) else self.spec.keys


def load_sweep(path: Path, overrides: Iterable[str] = ()) -> Sweep:
    """Read a sweep file, with `key=value` overrides that address the file.

    Raises:
        ConfigError: anything wrong in it, with file and line: unknown keys, an axis that no run
            has, a value on an axis that the run refuses.
    """
    document = read_yaml(path)
    for text in overrides:
        _apply(document, text)
    kind = document.values.get("kind")
    if kind not in ("search", "ablation"):
        raise ConfigError(
            f"{document.origin(('kind',)) or path}: kind is {kind!r}, but must be search or "
            "ablation."
        )
    run_document = document.part("run")
    for key in ("output", "tracking", "scale"):
        if key in run_document.values:
            where = run_document.origin((key,))
            instead = "gang" if key == "scale" else key
            raise ConfigError(
                f"{where}: run.{key} belongs to the whole sweep: set {instead} instead."
            )
    spec: SearchSpec | AblationSpec = (
        validate(SearchSpec, document) if kind == "search" else validate(AblationSpec, document)
    )
    base = build_run_config(run_document, prefix="run.")
    base = base.with_values(
        {
            "scale": spec.gang.model_dump(),
            "output": spec.output,
            "tracking": spec.tracking.model_dump(),
        }
    )
    if isinstance(spec, SearchSpec):
        _check_search(spec, base, document, path)
    else:
        _check_factors(spec, base, document)
    resolved = base.model_dump(exclude={"scale", "output", "tracking", "name"})
    spec = spec.model_copy(update={"run": resolved})
    return Sweep(spec, base)


def refuse_impossible(sweep: Sweep, *, channels: int, train_images: int, classes: int) -> None:
    """Refuse, before anything starts, a value or a cell that no run on these images can have.

    Raises:
        ConfigError: names the axis or the cell, and why.
    """
    spec = sweep.spec
    metric = spec.objective.metric
    if classes == 0 and metric.endswith(("_top1", "_top5")):
        raise ConfigError(
            f"no trial will report '{metric}': none of the images has a label. Choose a metric "
            "that needs none, such as eval/alignment or eval/effective_rank."
        )
    if isinstance(spec, SearchSpec):
        points = [
            (f"search.{key}", {key: value})
            for key, axis in spec.search.items()
            for value in axis.extremes
        ]
    else:
        ends = [
            {key: value}
            for key, axis in (spec.tune.axes if spec.tune else {}).items()
            for value in axis.extremes
        ]
        points = [
            (f"the cell '{cell.name}'", {**cell.values, **end})
            for cell in spec.cells
            for end in [{}, *ends]
        ]
    for what, values in points:
        try:
            config = sweep.base.with_values(values)
            resolve(config, channels=channels, train_images=train_images)
        except InputError as error:
            raise ConfigError(f"{what}: {error}") from None


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


def _check_search(spec: SearchSpec, base: RunConfig, document: Document, path: Path) -> None:
    for key, axis in spec.search.items():
        where = document.origin(("search", key))
        for value in axis.extremes:
            _check_value(key, {key: value}, base, where)
    if spec.scheduler.name == "asha" and spec.scheduler.grace_epochs >= base.epochs:
        raise ConfigError(
            f"{path}: scheduler.grace_epochs is {spec.scheduler.grace_epochs}, but must be below "
            f"run.epochs, {base.epochs}: nothing would ever be stopped."
        )


def _check_factors(spec: AblationSpec, base: RunConfig, document: Document) -> None:
    for factor, levels in spec.factors.items():
        for level, values in levels.items():
            where = document.origin(("factors", factor, level))
            for key in values:
                _check_value(key, {}, base, where)
    axes = spec.tune.axes if spec.tune else {}
    for key, axis in axes.items():
        for value in axis.extremes:
            where = document.origin(("tune", "axes", key))
            _check_value(key, {key: value}, base, where)
    for cell in spec.cells:
        for values in ({}, *({key: end} for key, axis in axes.items() for end in axis.extremes)):
            try:
                base.with_values({**cell.values, **values})
            except ConfigError as error:
                at = "".join(f" at {key}={value}" for key, value in values.items())
                raise ConfigError(f"the cell '{cell.name}'{at} is impossible: {error}") from None
    refuse_twins(spec.cells, base)


def _check_value(key: str, values: dict[str, Any], base: RunConfig, where: str) -> None:
    if key not in axis_keys():
        raise ConfigError(f"{where}: '{key}' is not an axis{nearest(key, axis_keys())}")
    try:
        base.with_values(values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
