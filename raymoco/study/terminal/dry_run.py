"""`--dry-run`: describe a sweep's trials, resources and time."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from rich.console import Group
from rich.table import Table
from rich.text import Text

from raymoco.choices import LOSSES
from raymoco.config import RunConfig
from raymoco.data.loading.prepare import load_images
from raymoco.data.loading.train_plan import check_list
from raymoco.data.shards.ensure import ensure_shards
from raymoco.data.shards.manifest import ShardSet
from raymoco.data.views.build import build_views
from raymoco.data.views.whole import canvas_shape
from raymoco.engine.cluster import threads_per_worker
from raymoco.engine.judges import check_judges, judges_fact, judges_warning
from raymoco.engine.output_folder import check_output, refuse_foreign
from raymoco.engine.regime import TrainImages, regime
from raymoco.engine.resolve import resolve
from raymoco.engine.step import Step, build_optimizer
from raymoco.ssl import build_method
from raymoco.study.disk_plan import check_sweep
from raymoco.study.proposals.repeats import fewest_repeats
from raymoco.study.proposals.warm_start import load_warm_start
from raymoco.study.statistics.effects import interactions, main_effects
from raymoco.study.statistics.exact import can_resolve, fewest_seeds, smallest_sign_flip
from raymoco.study.statistics.looks import spend
from raymoco.study.statistics.paired import ALPHA
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.axis import format_value
from raymoco.study.sweepfile.code_checks import check_named_code
from raymoco.study.sweepfile.default_trial import default_left_out
from raymoco.study.sweepfile.image_checks import check_against_images, check_against_judges
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.metric_checks import ask_protocols
from raymoco.study.sweepfile.name_checks import check_trial_names
from raymoco.study.sweepfile.regime_checks import sweep_regime_warning
from raymoco.study.sweepfile.sampler_options import (
    independent_axes,
    learns_from_completed_alone,
)
from raymoco.study.sweepfile.search_spec import SearchSpec
from raymoco.study.sweepfile.sections import Looks

STEPS = 3
START_S = 20  # measured: two gangs on two cores start in 16 to 22 s


def describe_sweep(sweep: Sweep) -> Group:
    """Describe axes, number of trials, resources and an estimate of time, for the terminal.

    Missing shards are built (they are needed anyway); nothing else is written.

    Raises:
        InputError: as for any mistake that would stop the sweep before its first trial.
    """
    sweep = ask_protocols(sweep)
    spec, base = sweep.spec, sweep.base
    output = sweep.output
    check_trial_names(sweep)
    refuse_foreign(output / spec.name, "sweep")
    check_output(output)
    check_named_code(sweep)
    shards = ensure_shards(base.data, output)
    images = min(shards.rows("train"), base.data.limit or shards.rows("train"))
    config = resolve(base, channels=shards.channels, train_images=images)
    check_against_images(
        sweep, channels=shards.channels, train_images=images, classes=len(shards.classes)
    )
    # ids and labels, as a start has them; of the pixels none is read
    handle = load_images(base.data.model_copy(update={"cache": "stream"}), shards)
    needs_labels = LOSSES.facts(config.method.loss, look=True).needs_labels
    listed = check_list(handle, config.data, needs_labels=needs_labels)
    check_judges(config, handle)
    check_against_judges(sweep, handle)
    budget, gang, epochs = spec.budget, spec.gang, config.epochs
    search, ablation, shorter = sweep.search, sweep.ablation, ""
    if search is not None:
        chosen = _chosen_by(sweep, search, output)
        stops = search.scheduler.stops or _stops_repeats(search)
        shorter = "; early stops make it shorter" if stops else ""
        what = _axes_table(search, config)
    else:
        assert ablation is not None
        chosen = f"{ablation.design} design, seeds {', '.join(map(str, ablation.seeds))}"
        shorter = "; an early look may make it shorter" if ablation.looks is not None else ""
        if ablation.tune is not None and ablation.tuning_of is not None:
            tunings = ablation.tune.tunings
            chosen += f" in {len(tunings)} tunings, with seeds {', '.join(map(str, tunings))}"
        what = _cells_table(ablation)
    trials = spec.planned_trials
    # the repeats of a proposal are trained one after another
    at_once = max(search.proposals, search.confirmations) if search is not None else trials
    groups = min(budget.concurrent, at_once)
    cpus = groups * gang.workers * gang.cpus_per_worker
    gpus = groups * gang.workers * gang.gpus_per_worker
    seconds = _step_seconds(config, shards, threads_per_worker(gang))
    known = TrainImages.of(shards.manifest, images)
    found = regime(config, known)
    total = START_S + trials * found.steps * seconds / groups
    tested = f"{shards.rows('eval')} eval, {shards.rows('test')} test"
    facts = Table(title="what it takes", title_justify="left", show_header=False)
    facts.add_row("images", f"{images} to train on, {tested}")
    facts.add_row("trials", spec.count_in_words(epochs))
    points = sweep.space.size() if search is not None else None
    if search is not None and points is not None:
        facts.add_row("points", _points_in_words(search, points))
    left_out = default_left_out(sweep, config.flat())
    if left_out:
        facts.add_row("default", Text(left_out))
    facts.add_row("chosen by", Text(chosen))  # it may contain the name of a folder
    if ablation is not None and ablation.looks is not None:
        facts.add_row("looks", _looks_in_words(ablation.looks))
    for said in never_resolved(spec):
        facts.add_row("exact check", said)
    facts.add_row(
        "resources",
        f"{groups} gangs x {gang.workers} workers: {cpus:g} CPUs, {gpus:g} GPUs, and 1 CPU for "
        "Ray Data",
    )
    facts.add_row(
        "step", f"{seconds * 1000:.0f} ms for a batch of {config.optim.batch_size}, measured here"
    )
    facts.add_row("time", f"about {_minutes(total)}, evaluations left out{shorter}")
    room = check_sweep(
        sweep,
        config,
        channels=shards.channels,
        image_size=_side(config, shards),
        classes=len(shards.classes),
    )
    facts.add_row("disk", room)
    for line in listed:
        facts.add_row("labels", Text(line))
    for name, text in found.facts:
        facts.add_row(name, text)
    facts.add_row(*judges_fact(shards.manifest))
    warnings = (sweep_regime_warning(sweep, known), judges_warning(shards.manifest))
    return Group(what, facts, *(Text(f"warning: {warning}") for warning in warnings if warning))


def never_resolved(spec: SearchSpec | AblationSpec) -> list[str]:
    """Say of which families the sign-flip test can resolve no row, because of too few seeds."""
    seeds, level = 0, ALPHA
    families: dict[int, list[str]] = {}  # by their number of rows
    if isinstance(spec, AblationSpec):
        seeds, cells = len(spec.seeds), spec.cells
        if spec.looks is not None:
            level = spend(spec.looks.seeds, spec.looks.spending)[-1]
        effects = len(main_effects(cells, spec.design)) + len(interactions(cells))
        families[len(cells) - 1] = ["comparisons.csv"]
        families.setdefault(effects, []).append("effects.csv")
    elif spec.confirm is not None:
        seeds = len(spec.confirm.seeds)
        families[spec.confirm.comparisons] = ["the confirmation"]
    said = []
    for rows, names in families.items():
        if not can_resolve(seeds, rows, level):
            times = f" x {rows} rows" if rows > 1 else ""
            said.append(
                f"{seeds} seeds never resolve a row of {' or '.join(names)} by the sign-flip test: "
                f"its smallest p is {smallest_sign_flip(seeds):.2g}{times}; "
                f"{fewest_seeds(rows, level)} seeds could"
            )
    return said


def _points_in_words(spec: SearchSpec, points: int) -> str:
    trials = spec.budget.trials
    if spec.scheduler.population:
        alike = f", fewer than the {trials} members: some begin alike" if points < trials else ""
        return f"{points:,} on these axes{alike}"
    said = f"{points:,} on these axes, each trained once"
    if points < trials:
        said += f": the budget of {trials} trials will not be used up"
    return said


def _looks_in_words(looks: Looks) -> str:
    levels = spend(looks.seeds, looks.spending)
    at = (f"{n} seeds (level {level:.2g})" for n, level in zip(looks.seeds, levels, strict=True))
    return f"at {', '.join(at)}, {looks.spending}; it stops where every row is decided"


def _chosen_by(sweep: Sweep, spec: SearchSpec, output: Path) -> str:
    options = ", ".join(f"{key} {value}" for key, value in spec.sampler.options.items())
    said = [f"sampler {spec.sampler.name}" + (f" ({options})" if options else "")]
    alone = independent_axes(spec.sampler, sweep.space)
    if alone:
        said.append(f"at random: {', '.join(alone)}")
    if spec.warm_start:
        warm = load_warm_start(spec.warm_start, output, sweep.space, spec.objectives)
        said.append(f"{len(warm)} trials of {spec.warm_start} to learn from")
    if spec.enqueue:
        said.append(f"{len(spec.enqueue)} points first")
    if spec.scheduler.population:
        said = [f"a population, its worst replaced each {spec.scheduler.every_epochs} epochs"]
    else:
        said.append(f"scheduler {spec.scheduler.name}")
        if spec.scheduler.stops and learns_from_completed_alone(spec.sampler):
            said.append(f"{spec.sampler.name} learns nothing from the trials that it stops")
    if spec.repeats > 1:
        said.append(_repeats_in_words(spec))
    goals = " and ".join(f"{o.metric} ({o.mode})" for o in spec.objectives)
    return f"{'; '.join(said)}; for {goals}"


def _stops_repeats(spec: SearchSpec) -> bool:
    return len(spec.objectives) == 1 and fewest_repeats(spec.repeats) < spec.repeats


def _repeats_in_words(spec: SearchSpec) -> str:
    said = f"each proposal judged by its mean over {spec.repeats} seeds"
    if not _stops_repeats(spec):
        return said
    least = fewest_repeats(spec.repeats)
    said += f", stopped where it is clearly behind the best after {least} or more"
    if learns_from_completed_alone(spec.sampler):
        said += f" ({spec.sampler.name} then learns nothing from it)"
    return said


def _axes_table(spec: SearchSpec, config: RunConfig) -> Table:
    defaults = config.flat()
    table = Table(title=f"{spec.name}: what varies", title_justify="left")
    for column in ("axis", "values", "default"):
        table.add_column(column)
    for key, axis in spec.search.items():
        table.add_row(*map(Text, (key, axis.describe(), format_value(defaults[key]))))
    return table


def _cells_table(spec: AblationSpec) -> Table:
    # names and the question are the user's text: brackets in them are not markup
    title = Text(f"{spec.name}: {spec.question.strip()}", style="table.title")
    table = Table(title=title, title_justify="left")
    for column in ("cell", "sets"):
        table.add_column(column)
    for cell in spec.cells:
        sets = ", ".join(f"{key}={format_value(value)}" for key, value in cell.values.items())
        table.add_row(Text(cell.name), Text(sets or "nothing"))
    return table


def _step_seconds(config: RunConfig, shards: ShardSet, threads: int) -> float:
    """Return the median time of a few real steps on random pixels, on this machine's CPU."""
    whole, size = config.data.image_size or shards.image_size or 32, _side(config, shards)
    drawn = (size, size) if config.data.view_size is None else canvas_shape(whole)
    torch.set_num_threads(threads)
    module = build_method(
        config.model,
        config.method,
        channels=shards.channels,
        image_size=size,
        classes=len(shards.classes),
        seed=0,
    ).to(memory_format=torch.channels_last)
    step = Step(
        module,
        build_optimizer(config.optim, module.parameters()),
        device=torch.device("cpu"),
        bf16=config.precision == "bf16",
        workers=1,
    )
    views = build_views(
        config.data.views,
        channels=shards.channels,
        image_size=size,
        mean=shards.manifest.mean,
        std=shards.manifest.std,
    )
    batch = config.optim.batch_size // config.scale.workers
    images = torch.randint(0, 256, (batch, shards.channels, *drawn), dtype=torch.uint8)
    labels = torch.full((batch,), -1)
    times = []
    for _ in range(STEPS + 1):  # the first is a warm-up
        started = time.perf_counter()
        view_a, view_b = views(images)
        step(view_a, view_b, labels, config.optim.lr)
        times.append(time.perf_counter() - started)
    return sorted(times[1:])[STEPS // 2]


def _side(config: RunConfig, shards: ShardSet) -> int:
    """What the encoder sees, in pixels."""
    return config.data.view_size or config.data.image_size or shards.image_size or 32


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"
