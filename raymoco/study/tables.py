"""trials.csv and the tables that a sweep prints."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from raymoco.files import write_atomically
from raymoco.study.journal import TrialRecord
from raymoco.study.space import SHORT, format_value
from raymoco.study.spec import Objective
from raymoco.study.statistics.comparisons import Comparisons
from raymoco.study.statistics.pareto import pareto_front

SHOWN_AS = {
    "eval/knn_top1": "eval kNN",
    "test/knn_top1": "test kNN",
    "test/linear_top1": "test linear",
}
FIRST = (
    "trial_id",
    "cell",
    "phase",
    "seed",
    "state",
    "reason",
    "epochs",
    "train_seconds",
    "wall_seconds",
)


def write_trials(
    path: Path,
    trials: Iterable[TrialRecord],
    axes: Iterable[str],
    objectives: Sequence[Objective] = (),
) -> None:
    """Rewrite trials.csv, whole at any moment: a row per trial, every axis, every final metric.

    With several objectives a column `pareto` is 1 for the trials of the front and 0 for others.
    """
    trials, axes = list(trials), list(axes)
    several = len(objectives) > 1
    front = pareto_front((t for t in trials if not t.cell), objectives) if several else []
    on_front = {trial.trial_id for trial in front}
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.final if "/" in name))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*FIRST, *["pareto"] * several, *axes, *metrics, "mlflow_run_id"])
    for trial in trials:
        final = trial.final
        wall = trial.ended - trial.began if trial.ended and trial.began else ""
        writer.writerow(
            [
                trial.trial_id,
                trial.cell,
                trial.phase,
                trial.seed,
                trial.state,
                trial.reason,
                trial.epochs,
                final.get("train_seconds", ""),
                wall,
                *[int(trial.trial_id in on_front)] * several,
                *(trial.values.get(axis, "") for axis in axes),
                *(final.get(metric, "") for metric in metrics),
                trial.mlflow_run_id,
            ]
        )
    write_atomically(path, stream.getvalue())


def best_table(
    trials: list[TrialRecord],
    objectives: Sequence[Objective],
    axes: Iterable[str],
    title: str = "best trials",
) -> Table:
    """The best trials as a table: what they set, what they reached."""
    axes = list(axes)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("trial", no_wrap=True)
    for axis in axes:
        table.add_column(SHORT.get(axis, axis.rpartition(".")[2]), justify="right")
    columns = [*(objective.metric for objective in objectives), "test/knn_top1", "test/linear_top1"]
    for column in dict.fromkeys(columns):
        table.add_column(SHOWN_AS.get(column, column), justify="right")
    for trial in trials:
        cells = [format_value(trial.values.get(axis, "")) for axis in axes]
        scores = [trial.final.get(column) for column in dict.fromkeys(columns)]
        shown = ["" if score is None else _score(score) for score in scores]
        table.add_row(trial.trial_id, *map(Text, cells), *shown)
    return table


def _score(score: float) -> str:
    return f"{score:.4f}" if abs(score) < 100 else f"{score:.0f}"


def cells_table(found: Comparisons) -> Table:
    """An ablation's cells: mean and difference to the baseline, each with its 95 % interval."""
    sense = "" if found.higher else " (less is better)"
    table = Table(
        title=f"{SHOWN_AS.get(found.metric, found.metric)}{sense}, +- half the 95 % interval",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("cell", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column("mean", no_wrap=True)
    table.add_column("to baseline", no_wrap=True)
    table.add_column("verdict", no_wrap=True, min_width=12)
    for name, mean in found.means.items():
        called = Text(name)  # the user's words: brackets in them are no markup
        n = str(mean.n) if mean else "0"
        shown = f"{mean.mean:.3f}{_reach(mean.low, mean.high)}" if mean else ""
        if name == found.baseline:
            table.add_row(called, n, shown, "", "baseline")
            continue
        row = found.rows[name]
        moved = ""
        if row.difference is not None:
            reach = _reach(row.difference.low, row.difference.high)
            moved = f"{row.difference.difference:+z.3f}{reach}"
        table.add_row(called, n, shown, moved, row.verdict)
    return table


def _reach(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" +- {(high - low) / 2:.3f}"
