"""What a sweep prints at its end, and the page that it points to."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.console import Console
from rich.table import Table
from rich.text import Text

from raymoco.data.inspection import ShardReport
from raymoco.errors import DataError
from raymoco.study.confirm import NOTHING_ELSE
from raymoco.study.journal import load_ledger
from raymoco.study.spec import AblationSpec, SearchSpec
from raymoco.study.statistics.comparisons import compared_trials
from raymoco.study.sweepfile import Sweep
from raymoco.study.tables import best_table, cells_table
from raymoco.study.views import view_path
from raymoco.yamlfile import read_yaml

if TYPE_CHECKING:
    from raymoco.study.launch import SweepResult

SHOWN = 5


def print_summary(console: Console, sweep: Sweep, result: SweepResult) -> None:
    """The best trials, the best against the default, the counts, and where to look further."""
    states = [trial.state for trial in result.trials]
    counts = {state: states.count(state) for state in dict.fromkeys(sorted(states))}
    console.print()
    objectives = sweep.objectives
    if len(objectives) > 1 and result.best:
        title = f"Pareto front of {', '.join(objective.metric for objective in objectives)}"
        console.print(best_table(result.best, objectives, sweep.axes, title))
    elif result.best:
        console.print(best_table(result.best[:SHOWN], objectives, sweep.axes))
    if result.comparisons is not None:
        if isinstance(sweep.spec, AblationSpec) and sweep.spec.question:
            console.print(sweep.spec.question, markup=False)
        console.print(cells_table(result.comparisons))
        for cell in result.comparisons.rows:
            console.print(result.comparisons.sentence(cell), markup=False)
    for trial in result.trials:
        if trial.state == "failed":
            console.print(f"failed {trial.trial_id}: {trial.reason}", markup=False)
    console.print(", ".join(f"{n} {state}" for state, n in counts.items()), markup=False)
    for row in result.confirmation:
        said = f"{row.name} against default, test/knn_top1, new seeds: {row.words}"
        console.print(said, markup=False)
    spec = sweep.spec
    confirms = isinstance(spec, SearchSpec) and spec.confirm is not None
    if confirms and result.best and not result.confirmation and not result.interrupted:
        console.print(NOTHING_ELSE, markup=False)
    # by its full name: after `make demo` nobody has activated .venv
    command = f"{shlex.quote(sys.executable)} -m raymoco ui {shlex.quote(str(result.folder))}"
    console.print(f"\ncompare  {command}", markup=False)
    if (result.folder / "report.html").exists():
        console.print(f"report   {result.folder / 'report.html'}", markup=False)
    console.print(f"files    ls {shlex.quote(str(result.folder))}", markup=False)


def comparison_path(experiment_id: str, run_ids: list[str]) -> str:
    """MLflow's comparison page of some runs, relative to the server's root."""
    runs = quote(json.dumps(run_ids), safe="")
    experiments = quote(json.dumps([experiment_id]), safe="")
    return f"/#/compare-runs?runs={runs}&experiments={experiments}"


def serve_ui(console: Console, place: Path, port: int) -> None:
    """Start `mlflow server` on a sweep's store, print the comparison's address, stay until Ctrl-C.

    Raises:
        DataError: nothing has been logged there.
    """
    from raymoco import tracking
    from raymoco.tracking.server import LocalServer
    from raymoco.tracking.store import open_store

    if not place.exists() and (Path("runs") / place).exists():
        place = Path("runs") / place  # a sweep's name will do
    name, identity, ids = "raymoco", "", list[str]()
    uri: str | None = None
    output = place
    if (place / "sweep.yaml").exists():
        output = place.absolute().parent
        logged = read_yaml(place / "sweep.yaml").values.get("tracking", {})
        uri, name = logged.get("uri"), logged.get("experiment") or name
        ledger = load_ledger(place / "journal.jsonl")
        identity = ledger.identity
        trials = [trial for trial in ledger.all() if trial.mlflow_run_id]
        searched = [trial for trial in trials if not trial.cell]
        ids = [trial.mlflow_run_id for trial in searched or compared_trials(trials)]
    resolved = tracking.tracking_uri(uri, output.absolute())
    if resolved == tracking.NOWHERE:
        raise DataError(f"{place}: this sweep logged nothing (tracking.uri is {tracking.NOWHERE}).")
    if resolved.startswith("sqlite:///") and not Path(resolved.removeprefix("sqlite:///")).exists():
        raise DataError(f"{output}: nothing has been logged there (no mlflow.db).")
    root = f"http://127.0.0.1:{port}"
    if resolved.startswith("http"):
        root = resolved.rstrip("/")
    _, experiment_id = open_store(resolved, name, None)
    runs = f"{root}/#/experiments/{experiment_id}/runs?compareRunsMode=CHART"
    if identity:
        runs = root + view_path(experiment_id, identity)
    console.print(f"runs     {runs}", markup=False)
    if ids:
        console.print(f"compare  {root}{comparison_path(experiment_id, ids)}", markup=False)
    if resolved.startswith("http"):
        return
    server = LocalServer(resolved, port)

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    # the server is a process group of its own: nobody else would end it
    signal.signal(signal.SIGTERM, end)
    try:
        status = server.start().wait()
        raise DataError(f"the MLflow server on port {port} ended with status {status}.")
    except KeyboardInterrupt:
        return
    finally:
        server.kill()


def shards_table(report: ShardReport) -> Table:
    """What `raymoco shards inspect` prints."""
    table = Table(show_header=False)
    for name, value in report.lines():
        table.add_row(name, Text(value))  # names of classes may hold brackets
    return table
