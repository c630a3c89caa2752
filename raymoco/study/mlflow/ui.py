"""Serve MLflow's pages for a sweep's store, and print the address of the comparison."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from urllib.parse import quote

from rich.console import Console

from raymoco.engine.output_folder import RunFolder, refuse_special
from raymoco.errors import DataError
from raymoco.passwords import without_user
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import load_ledger
from raymoco.study.statistics.scores import compared_trials
from raymoco.tracking.places import SQLITE, sqlite_file
from raymoco.tracking.shared_view import view_path


def comparison_path(experiment_id: str, run_ids: list[str]) -> str:
    """Return the address of MLflow's comparison page, relative to the server's root."""
    runs = quote(json.dumps(run_ids), safe="")
    experiments = quote(json.dumps([experiment_id]), safe="")
    return f"/#/compare-runs?runs={runs}&experiments={experiments}"


def serve_ui(console: Console, place: Path, port: int) -> None:
    """Start `mlflow server` for a sweep's store, print the comparison's address, wait for Ctrl-C.

    Raises:
        DataError: nothing has been logged there, or no port is free.
    """
    from raymoco import tracking
    from raymoco.tracking.server import LocalServer, free_port
    from raymoco.tracking.store import open_store

    if not place.exists() and (Path("runs") / place).exists():
        place = Path("runs") / place  # a sweep's name is enough
    name, identity, ids = "raymoco", "", list[str]()
    uri: str | None = None
    output = place
    refuse_special(place)
    folder, run = SweepFolder(place), RunFolder(place)
    if run.config.exists() and run.journal.exists():
        output = place.absolute().parent
        logged = tracking.saved_tracking(run.config)
        uri, name = logged.uri, logged.experiment or name
    if folder.spec.exists():
        output = place.absolute().parent
        logged = tracking.saved_tracking(folder.spec)
        uri, name = logged.uri, logged.experiment or name
        ledger = load_ledger(folder.journal)
        identity = ledger.identity
        trials = [trial for trial in ledger.all() if trial.mlflow_run_id]
        searched = [trial for trial in trials if not trial.cell]
        ids = [trial.mlflow_run_id for trial in searched or compared_trials(trials)]
    resolved = tracking.tracking_uri(uri, output.absolute())
    if resolved == tracking.NOWHERE:
        raise DataError(f"{place}: it logged nothing (tracking.uri is {tracking.NOWHERE}).")
    if tracking.tracker_path(resolved):
        raise DataError(f"{place}: it was logged to {resolved}, which is not MLflow.")
    if resolved.startswith(SQLITE) and not sqlite_file(resolved)[0].exists():
        raise DataError(f"{output}: nothing has been logged there (no mlflow.db).")
    if resolved.startswith("http"):
        root = without_user(resolved).rstrip("/")
    else:
        wanted, port = port, free_port(port)
        if port != wanted:
            console.print(f"port     {wanted} is taken: {port} instead", markup=False)
        root = f"http://127.0.0.1:{port}"
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

    # the server has its own process group, so nothing else would end it
    signal.signal(signal.SIGTERM, end)
    try:
        status = server.start().wait()
        raise DataError(f"the MLflow server on port {port} ended with status {status}.")
    except KeyboardInterrupt:
        return
    finally:
        server.kill()
