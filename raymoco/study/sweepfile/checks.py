"""Checks of a sweep file against the run that it varies.

Each error names its key; the caller with the file prepends file and line.
"""

from __future__ import annotations

from typing import Any

from raymoco.choices import SAMPLERS, SCHEDULERS
from raymoco.config import RunConfig, axis_keys
from raymoco.errors import ConfigError, concerning
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.axis import setting_count
from raymoco.study.sweepfile.cells import Cell
from raymoco.study.sweepfile.equivalent_cells import refuse_equivalent_cells
from raymoco.study.sweepfile.metric_checks import check_metrics
from raymoco.study.sweepfile.registered import is_ours
from raymoco.study.sweepfile.search_space import SearchSpace, different
from raymoco.study.sweepfile.search_spec import SearchSpec
from raymoco.study.sweepfile.sections import DEFAULT, Confirm, Tune
from raymoco.yamlfile import nearest


def check_search(spec: SearchSpec, base: RunConfig, *, imports: bool) -> SearchSpec:
    """Check everything that depends on the base run.

    Args:
        imports: whether to import and check a third-party sampler and scheduler too.
    Returns:
        The spec; with a sampler that lists its points, such as `grid`, their number is the budget.
    Raises:
        ConfigError: says which key it is about.
    """
    with concerning("objective"):
        check_metrics(spec, base)
    values = base.flat()
    space = spec.space(values)
    if spec.repeats > 1:
        _check_repeats(spec, base)
    if spec.confirm is not None:
        _check_baselines(spec.confirm, base)
    asks_sampler = imports or is_ours(SAMPLERS, spec.sampler.name)
    if asks_sampler:
        _check_sampler(spec, space)
    for key, axis in spec.search.items():
        for value in axis.extremes:
            _check_value(key, {**space.witness(key), key: value}, base, ("search", key))
    for number, point in enumerate(spec.enqueue):
        for key, value in point.items():
            with concerning("enqueue", str(number), key):
                _check_point(key, value, spec)
    if imports or is_ours(SCHEDULERS, spec.scheduler.name):
        spec.scheduler.code.check(spec.scheduler.chosen, spec, base)
    if spec.enqueue_default and (outside := space.outside(values)):
        raise ConfigError(f"enqueue_default is true, but {outside}.", ("enqueue_default",))
    if spec.scheduler.population:  # a population draws its members itself
        sampler = spec.sampler.model_copy(update={"name": "random"})
        return spec.model_copy(update={"sampler": sampler})
    points = spec.sampler.points(space) if asks_sampler else None
    if points is not None:
        listed = list(map(space.params, points))
        if spec.enqueue_default and space.params(values) not in listed:
            raise ConfigError(
                "enqueue_default is true, but the run as it stands is none of the points that "
                f"sampler {spec.sampler.name} lists.",
                ("enqueue_default",),
            )
        return _with_listed_points(spec, len(different(points)))
    spec = spec.with_points(space.size())
    own = space.params(values) if spec.enqueue_default is not False else None
    enqueued = [point for point in map(space.params, spec.enqueue) if point is not None]
    first = different([own, *enqueued] if own is not None else enqueued)
    if spec.enqueue and len(first) > spec.budget.trials:
        raise ConfigError(
            f"enqueue holds {len(spec.enqueue)} points"
            f"{', and the run itself is tried first' if own is not None else ''}, but "
            f"budget.trials is {spec.budget.trials}.",
            ("enqueue",),
        )
    return spec


def _check_repeats(spec: SearchSpec, base: RunConfig) -> None:
    """Refuse repeats of a population, and fresh seeds that are those of the repeats."""
    if spec.scheduler.population:
        raise ConfigError(
            f"repeats is {spec.repeats}, but must be 1 with scheduler {spec.scheduler.name}: the "
            "members of a population take over each other's weights.",
            ("repeats",),
        )
    seeds = range(base.seed, base.seed + spec.repeats)
    used = [seed for seed in spec.confirm.seeds if seed in seeds] if spec.confirm else []
    if used:
        raise ConfigError(
            f"confirm.seeds has {used[0]}, but repeats trains with the seeds {seeds[0]} to "
            f"{seeds[-1]}: what was chosen by a seed cannot be confirmed by it.",
            ("confirm", "seeds"),
        )


def _check_baselines(confirm: Confirm, base: RunConfig) -> None:
    """Refuse a baseline that no run can be, or that trains like the default or another one."""
    cells = [Cell({"confirm": DEFAULT}, {})]
    for name, values in confirm.against.items():
        where = ("confirm", "against", name)
        for key in values:
            if key not in axis_keys(base):
                raise ConfigError(f"'{key}' is not an axis{nearest(key, axis_keys(base))}", where)
        try:
            base.with_values(values)
            cells.append(Cell({"confirm": name}, values))
            refuse_equivalent_cells(cells, base)
        except ConfigError as error:
            raise ConfigError(str(error), where) from None


def _check_sampler(spec: SearchSpec, space: SearchSpace) -> None:
    sampler, options = spec.sampler, spec.sampler.chosen
    if spec.warm_start and not sampler.code.learns_from(options):
        learning = [
            name
            for name in SAMPLERS.choices
            if (code := SAMPLERS.load(name)()).learns_from(code.Options())
        ]
        raise ConfigError(
            f"warm_start is '{spec.warm_start}', but sampler {sampler.name} learns from no trial: "
            f"use {', '.join(learning)}.",
            ("warm_start",),
        )
    sampler.code.check(options, spec, space)
    with concerning("sampler"):
        sampler.points(space)


def _with_listed_points(spec: SearchSpec, points: int) -> SearchSpec:
    name = spec.sampler.name
    if spec.enqueue:
        raise ConfigError(
            f"sampler {name} tries every point: there is none to enqueue.", ("enqueue",)
        )
    if points == 0:
        raise ConfigError(f"sampler {name} has no point to try in this space.", ("sampler",))
    trials = spec.budget.trials
    if "trials" in spec.budget.model_fields_set and trials < points:
        raise ConfigError(
            f"budget.trials is {trials}, but the {name} has {points} points. Take fewer values, or "
            "sampler random.",
            ("budget", "trials"),
        )
    budget = spec.budget.model_copy(update={"trials": points})
    return spec.model_copy(update={"budget": budget})


def check_ablation(spec: AblationSpec, base: RunConfig) -> None:
    """Check everything that depends on the base run.

    Raises:
        ConfigError: says which key it is about, or which cells.
    """
    for factor, levels in spec.factors.items():
        for level, values in levels.items():
            for key in values:
                _check_value(key, {}, base, ("factors", factor, level))
    for key, axis in spec.sampled.items():
        for value in axis.extremes:
            _check_value(key, {key: value}, base, ("tune", "axes", key))
    if spec.tune is not None:
        _check_tune(spec.tune)
    for cell in spec.cells:
        for values in spec.ends(cell):
            try:
                base.with_values({**cell.values, **values})
            except ConfigError as error:
                at = "".join(f" at {key}={value}" for key, value in values.items())
                raise ConfigError(f"the cell '{cell.name}'{at} is impossible: {error}") from None
    with concerning("metric"):
        check_metrics(spec, base)
    refuse_equivalent_cells(spec.tuned_cells, base)


def _check_tune(tune: Tune) -> None:
    there_are = setting_count(tune.axes)
    if there_are is None or tune.trials <= there_are:
        return
    settings = "one setting, so there is nothing to tune"
    if there_are > 1:
        settings = f"{there_are} settings, and each is tried once: take {there_are} at most"
    raise ConfigError(
        f"tune.trials is {tune.trials}, but tune.axes have {settings}.", ("tune", "trials")
    )


def _check_point(key: str, value: Any, spec: SearchSpec) -> None:
    if key not in spec.search:
        raise ConfigError(f"'{key}' is no axis here{nearest(key, spec.search)}")
    if spec.search[key].point(key, value) is None:
        raise ConfigError(f"{key} is {value!r}, but its axis is {spec.search[key].describe()}.")


def _check_value(key: str, values: dict[str, Any], base: RunConfig, where: tuple[str, ...]) -> None:
    if key not in axis_keys(base):
        raise ConfigError(f"'{key}' is not an axis{nearest(key, axis_keys(base))}", where)
    try:
        base.with_values(values)
    except ConfigError as error:  # it names a key of the run, but here the axis is wrong
        raise ConfigError(str(error), where) from None
