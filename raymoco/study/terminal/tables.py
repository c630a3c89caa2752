"""The tables that a sweep prints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from raymoco.metrics import TEST_LINEAR, describe, with_results
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.statistics.comparisons import Comparisons
from raymoco.study.statistics.confirmation import confirmed_cells
from raymoco.study.statistics.judged import Judged
from raymoco.study.statistics.paired import cell_mean
from raymoco.study.statistics.scores import compared_trials, scores_by_cell
from raymoco.study.sweepfile.axis import SHORT, format_value, short_name
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.sections import CONFIRMED, DEFAULT, Objective


def best_table(
    trials: list[TrialRecord],
    objectives: Sequence[Objective],
    axes: Iterable[str],
    title: str = "best trials",
) -> Table:
    """Return a table of the best trials with their values and scores; of repeats the means."""
    axes = list(axes)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("trial", no_wrap=True)
    repeated = any(trial.proposal for trial in trials)
    if repeated:
        table.add_column("seeds", justify="right")
    for axis in axes:
        table.add_column(SHORT.get(axis, axis.rpartition(".")[2]), justify="right")
    reported = dict.fromkeys(name for trial in trials for name in trial.final)
    metrics = with_results(*(objective.metric for objective in objectives), reported=reported)
    for metric in metrics:
        table.add_column(describe(metric).column, justify="right")
    for trial in trials:
        cells = [format_value(trial.values.get(axis, "")) for axis in axes]
        shown = [_score(trial.score(metric)) for metric in metrics]
        seeds = [str(trial.seeds)] * repeated
        table.add_row(trial.trial_id, *seeds, *map(Text, cells), *shown)
    return table


def _score(score: float) -> str:
    if math.isnan(score):
        return ""
    return f"{score:.4f}" if abs(score) < 100 else f"{score:.0f}"


def confirmation_table(sweep: Sweep, ledger: Ledger, judged: Sequence[Judged]) -> Table:
    """Return a table of what a search has confirmed: the mean of each cell, and its differences.

    Args:
        judged: the comparisons of the confirmation, which name two cells each.
    """
    spec = sweep.search
    assert spec is not None
    assert spec.confirm is not None
    trials, baselines = confirmed_cells(sweep, ledger)
    best = trials[0] if trials else ""
    values = {t.cell: t.values for t in compared_trials(ledger.all())}
    images = ledger.images("test")
    title = f"Trained again with {len(spec.confirm.seeds)} fresh seeds, judged on "
    title += f"{images:,} test images" if images else "the test set"
    table = Table(
        title=f"{title}, ± half the 95 % interval over seeds", title_justify="left",
        box=box.SIMPLE_HEAD,
    )  # fmt: skip
    table.add_column("")
    scores = {metric: scores_by_cell(ledger, metric) for metric in (CONFIRMED, TEST_LINEAR)}
    metrics = [metric for metric, found in scores.items() if found]
    for metric in metrics:
        table.add_column(describe(metric).column.replace(" ", "\n"), no_wrap=True)
    others = [DEFAULT, *([best] if best else [])]
    for other in others:
        table.add_column(f"to\n{other}", no_wrap=True)
    for cell in (*trials, DEFAULT, *baselines):
        sets = "the file as it is" if cell == DEFAULT else short_name(values[cell])
        name = f"{cell}, the best" if cell == best else cell
        shown = [_mean(scores[metric].get(cell, {})) for metric in metrics]
        shown[1:] = [mean.partition(" ")[0] for mean in shown[1:]]
        differences = [_difference(judged, cell, other) for other in others]
        table.add_row(Text(f"{name}\n  {sets}"), *shown, *differences)
    return table


def _mean(by_seed: Mapping[int, float]) -> str:
    mean = cell_mean(list(by_seed.values()))
    return f"{mean.mean:.3f}{_reach(mean.low, mean.high).replace(' +- ', ' ±')}" if mean else ""


def _difference(judged: Sequence[Judged], one: str, other: str) -> str:
    """One cell minus another, and whether that is resolved; '' if they are not compared."""
    for row in judged:
        weights, found = row.contrast.weights, row.difference
        if set(weights) != {one, other}:
            continue
        if found is None:
            return "not resolved"
        reach = "" if math.isnan(found.low) else f" ±{found.reach:.3f}"
        word = {"helps": "resolved", "hurts": "resolved"}.get(row.verdict, row.verdict)
        return f"{weights[one] * found.difference:+z.3f}{reach}\n{word}"
    return ""


def cells_table(found: Comparisons) -> Table:
    """Return a table of cells: mean and difference to the baseline with their 95 % intervals."""
    sense = "" if found.higher else " (less is better)"
    table = Table(
        title=f"{describe(found.metric).column}{sense}, +- half the 95 % interval",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("cell", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column("mean", no_wrap=True)
    with_images = any(row.items is not None for row in found.rows.values())
    # below each other: side by side they leave no room for names on 80 columns
    below = "\n over seeds,\n over seeds and\n images" if with_images else ""
    table.add_column(f"to baseline{below}", no_wrap=True)
    table.add_column("verdict", no_wrap=True, min_width=12)
    for name, mean in found.means.items():
        called = Text(name)  # the user's text: brackets in it are not markup
        n = mean.size if mean else "0"
        shown = f"{mean.mean:.3f}{_reach(mean.low, mean.high)}" if mean else ""
        if name == found.baseline:
            table.add_row(called, n, shown, "", "baseline")
            continue
        row = found.rows[name]
        moved = ""
        if row.difference is not None:
            reach = _reach(row.difference.low, row.difference.high)
            moved = f"{row.difference.difference:+z.3f}{reach}"
        if row.items is not None:
            moved = moved or f"{row.items.difference:+z.3f}"
            moved += f"\n{' ' * 6}{_reach(row.items.low, row.items.high)}"
        table.add_row(called, n, shown, moved, row.verdict)
    return table


def _reach(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" +- {(high - low) / 2:.3f}"
