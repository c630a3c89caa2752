"""trials.csv: a row per trial, replaced atomically."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from raymoco.files import write_atomically
from raymoco.metrics import is_metric
from raymoco.study.journal.ledger import Ledger
from raymoco.study.journal.ranking import pareto_front
from raymoco.study.sweepfile.sections import Objective

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
    ledger: Ledger,
    axes: Iterable[str],
    objectives: Sequence[Objective] = (),
) -> None:
    """Rewrite trials.csv atomically: a row per trial with its axes and final metrics.

    With several objectives a column `pareto` is 1 for the trials of the front and 0 for others.
    With repeats a row is a training, and its proposal is in the last column.
    """
    trials, axes = list(ledger.all()), list(axes)
    several = len(objectives) > 1
    front = pareto_front(ledger.search_trials, objectives) if several else []
    on_front = {trial.trial_id for trial in front}
    repeated = any(trial.proposal for trial in trials)
    metrics = list(
        dict.fromkeys(name for trial in trials for name in trial.final if is_metric(name))
    )
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [*FIRST, *["pareto"] * several, *axes, *metrics, "mlflow_run_id", *["proposal"] * repeated]
    )
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
                *[int((trial.proposal or trial.trial_id) in on_front)] * several,
                *(trial.values.get(axis, "") for axis in axes),
                *(final.get(metric, "") for metric in metrics),
                trial.mlflow_run_id,
                *[trial.proposal] * repeated,
            ]
        )
    write_atomically(path, stream.getvalue())
