"""What a sweep file's own sections cannot tell: checks against the run that it varies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raymoco.config import CHANGEABLE, RunConfig, axis_keys
from raymoco.errors import ConfigError
from raymoco.study.sweepfile.axis import setting_count
from raymoco.study.sweepfile.equivalent_cells import refuse_equivalent_cells
from raymoco.study.sweepfile.metric_checks import check_metrics
from raymoco.study.sweepfile.sampler_options import check_sampler
from raymoco.study.sweepfile.search_space import SearchSpace, different
from raymoco.study.sweepfile.sections import Tune
from raymoco.study.sweepfile.sweep import AblationSpec, SearchSpec
from raymoco.yamlfile import Document, flatten, nearest


def _check_search(spec: SearchSpec, base: RunConfig, document: Document, path: Path) -> SearchSpec:
    """Everything that only the base run can tell; a grid's budget becomes its size."""
    check_metrics(spec, base, document.origin(("objective",)) or str(path))
    try:
        space = SearchSpace(spec.search, flatten(base.model_dump()))
        check_sampler(spec.sampler, space, len(spec.objectives))
    except ConfigError as error:
        text = str(error)
        about = [k for k in spec.search if text.startswith((f"search.{k}.when", f"search.{k} "))]
        where = document.origin(("search", about[0]) if about else ("sampler",)) or path
        raise ConfigError(f"{where}: {text}") from None
    for key, axis in spec.search.items():
        where = document.origin(("search", key))
        for value in axis.extremes:
            _check_value(key, {**space.witness(key), key: value}, base, where)
    for number, point in enumerate(spec.enqueue):
        for key, value in point.items():
            where = document.origin(("enqueue", str(number), key)) or path
            if key not in spec.search:
                raise ConfigError(f"{where}: '{key}' is no axis here{nearest(key, spec.search)}")
            if spec.search[key].point(key, value) is None:
                raise ConfigError(
                    f"{where}: {key} is {value!r}, but its axis is {spec.search[key].describe()}."
                )
    if spec.scheduler.name in ("asha", "median") and spec.scheduler.grace_epochs >= base.epochs:
        raise ConfigError(
            f"{path}: scheduler.grace_epochs is {spec.scheduler.grace_epochs}, but must be below "
            f"run.epochs, {base.epochs}: nothing would ever be stopped."
        )
    if spec.scheduler.name == "pbt":
        return _with_random_population(spec, base, document, path)
    if spec.sampler.name == "grid":
        return _with_grid_budget(spec, space, document, path)
    own = space.params(flatten(base.model_dump()))
    enqueued = [point for point in map(space.params, spec.enqueue) if point is not None]
    first = different([own, *enqueued] if own is not None else enqueued)
    if spec.enqueue and len(first) > spec.budget.trials:
        raise ConfigError(
            f"{path}: enqueue holds {len(spec.enqueue)} points"
            f"{', and the run itself is tried first' if own is not None else ''}, but "
            f"budget.trials is {spec.budget.trials}."
        )
    return spec


def _with_random_population(
    spec: SearchSpec, base: RunConfig, document: Document, path: Path
) -> SearchSpec:
    at = document.origin(("scheduler",)) or path
    for key, axis in spec.search.items():
        where = document.origin(("search", key)) or path
        if key not in CHANGEABLE:
            raise ConfigError(
                f"{where}: scheduler pbt cannot change {key} in the middle of a run. It can "
                f"change {', '.join(CHANGEABLE)}."
            )
        if axis.conditions:
            raise ConfigError(f"{where}: scheduler pbt knows no `when`.")
    every = spec.scheduler.every_epochs
    if every >= base.epochs:
        raise ConfigError(
            f"{at}: scheduler.every_epochs is {every}, but must be below run.epochs, "
            f"{base.epochs}: nobody would ever go on from another."
        )
    for key, step in (("eval", base.eval.every), ("checkpoint", base.checkpoint.every)):
        if every % step:
            raise ConfigError(
                f"{at}: scheduler.every_epochs is {every}, but must be a multiple of "
                f"run.{key}.every, {step}."
            )
    if spec.budget.trials < 2:
        raise ConfigError(f"{at}: budget.trials is 1, but a population needs two.")
    if spec.enqueue or spec.warm_start:
        what = "enqueue" if spec.enqueue else "warm_start"
        raise ConfigError(f"{at}: scheduler pbt draws its own population: leave out {what}.")
    said = (document.values.get("sampler") or {}).get("name", "random")
    if said != "random":
        raise ConfigError(
            f"{document.origin(('sampler',)) or path}: sampler is {said}, but scheduler pbt draws "
            "its own population: leave the sampler out, or say random."
        )
    sampler = spec.sampler.model_copy(update={"name": "random"})
    return spec.model_copy(update={"sampler": sampler})


def _with_grid_budget(
    spec: SearchSpec, space: SearchSpace, document: Document, path: Path
) -> SearchSpec:
    if spec.enqueue:
        where = document.origin(("enqueue",)) or path
        raise ConfigError(f"{where}: sampler grid tries every point: there is none to enqueue.")
    points = len(space.grid())
    said = (document.values.get("budget") or {}).get("trials")
    if said is not None and said < points:
        where = document.origin(("budget", "trials")) or path
        raise ConfigError(
            f"{where}: budget.trials is {said}, but the grid has {points} points. Take fewer "
            "values, or sampler random."
        )
    budget = spec.budget.model_copy(update={"trials": points})
    return spec.model_copy(update={"budget": budget})


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
    if spec.tune is not None:
        _check_tune(spec.tune, document)
    for cell in spec.cells:
        for values in ({}, *({key: end} for key, axis in axes.items() for end in axis.extremes)):
            try:
                base.with_values({**cell.values, **values})
            except ConfigError as error:
                at = "".join(f" at {key}={value}" for key, value in values.items())
                raise ConfigError(f"the cell '{cell.name}'{at} is impossible: {error}") from None
    check_metrics(spec, base, document.origin(("metric",)))
    refuse_equivalent_cells(spec.cells, base)


def _check_tune(tune: Tune, document: Document) -> None:
    there_are = setting_count(tune.axes)
    if there_are is None or tune.trials <= there_are:
        return
    where = document.origin(("tune", "trials"))
    settings = "one setting, so there is nothing to tune"
    if there_are > 1:
        settings = f"{there_are} settings, and each is tried once: take {there_are} at most"
    raise ConfigError(f"{where}: tune.trials is {tune.trials}, but tune.axes have {settings}.")


def _check_value(key: str, values: dict[str, Any], base: RunConfig, where: str) -> None:
    if key not in axis_keys():
        raise ConfigError(f"{where}: '{key}' is not an axis{nearest(key, axis_keys())}")
    try:
        base.with_values(values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
