"""MLflow: points per second against a call per metric, what a producer loses, a killed server."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from benchmarks.tables import Table
from benchmarks.timing import Timing, interleaved
from raymoco.event_log import Event, Journal, begun, read_journal
from raymoco.study.journal.events import SWEEP_EVENTS, Ended, Proposed, Reported, TrialState
from raymoco.study.journal.find import find
from raymoco.study.mlflow.translate import open_story
from raymoco.tracking import Mirror, place_of
from raymoco.tracking.server import LocalServer

TRIALS = 4
METRICS = (
    *("train/loss", "train/contrast", "train/lr"),
    *("eval/knn_top1", "eval/alignment", "eval/uniformity", "eval/effective_rank"),
    *("perf/images_per_second", "perf/data_wait", "perf/step_seconds"),
)
SWEEP = """\
kind: search
name: NAME
run:
  preset: digits
  model: {width: 4}
  epochs: EPOCHS
search: {method.temperature: {loguniform: [0.05, 0.5]}}
sampler: {name: random}
budget: {trials: TRIALS, concurrent: 2}
tracking: {uri: URI}
output: OUTPUT
"""


def run(quick: bool) -> list[Table]:
    """All three tables; `quick` with fewer rows and a shorter sweep."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        with _server(output) as server:
            stores = {"sqlite file": f"sqlite:///{output}/own.db", "local server": server.uri}
            tables = [_throughput(output, stores, quick), _producer(output, stores, quick)]
            return [*tables, _killed(output, server, quick)]


def _throughput(output: Path, stores: dict[str, str], quick: bool) -> Table:
    table = Table(
        "Delivered points per second",
        ["store", "way", "points a round", "points/s", "spread of a round, ms", "times as fast"],
    )
    for store, uri in stores.items():
        _compare(table, output, store, uri, quick)
    table.notes = [
        "Each round makes its runs and ends them. raymoco reads the journal of a sweep of "
        f"{TRIALS} trials that nobody has delivered yet: it makes five runs, with params, tags and "
        "artifacts.",
    ]
    return table


def _compare(table: Table, output: Path, store: str, uri: str, quick: bool) -> None:
    single, epochs = (50, 10) if quick else (200, 40)
    peer = MlflowClient(uri)
    experiment = peer.create_experiment("peers")
    fresh = itertools.count()
    spent: list[float] = []

    def one_by_one() -> None:
        run_id = peer.create_run(experiment).info.run_id
        for number in range(single):
            step, metric = divmod(number, len(METRICS))
            peer.log_metric(run_id, METRICS[metric], random.random(), step=step)
        peer.set_terminated(run_id)

    def by_epoch() -> None:
        run_id = peer.create_run(experiment).info.run_id
        for epoch in range(epochs):
            now = int(time.time() * 1000)
            peer.log_batch(run_id, [Metric(m, random.random(), now, epoch) for m in METRICS])
        peer.set_terminated(run_id)

    def mirrored() -> None:
        folder = _journal(output / f"{store.split()[0]}-{next(fresh)}", uri, TRIALS, epochs)
        started = time.perf_counter()  # the journal is not written by who delivers it
        outcome = Mirror(place_of(folder, uri, None), open_story(find(str(folder)))).deliver()
        assert not outcome.left.events, outcome
        spent.append(time.perf_counter() - started)

    work = {"a call per metric": one_by_one, "a call per epoch": by_epoch, "raymoco": mirrored}
    found = interleaved(work, rounds=3 if quick else 7)
    found["raymoco"] = Timing(tuple(spent[1:]))
    counts = (single, epochs * len(METRICS), TRIALS * epochs * len(METRICS))
    slowest = single / found["a call per metric"].median
    for (way, timing), count in zip(found.items(), counts, strict=True):
        rate = count / timing.median
        table.add(store, way, count, rate, timing.spread, rate / slowest)


def _producer(output: Path, stores: dict[str, str], quick: bool) -> Table:
    table = Table(
        "Time that MLflow takes from the thread that receives an epoch, per row of ten metrics",
        ["store", "way", "median, us", "99 of 100 below, us"],
    )
    rows = 200 if quick else 1000
    for store, uri in stores.items():
        folder = _journal(output / f"producer-{store.split()[0]}", uri, 1, 1)
        journal = Journal(folder / "journal.jsonl")
        journal.append(begun("producer", {}))
        mirror = Mirror(place_of(folder, uri, None), open_story(find(str(folder))))
        mirror.start()
        told = []
        for epoch in range(2, rows + 2):
            journal.append(_report("t000", epoch))
            started = time.perf_counter()
            mirror.wake()
            told.append(time.perf_counter() - started)
            time.sleep(0.005)
        assert not mirror.close().left.events
        journal.close()
        peer = MlflowClient(uri)
        run_id = peer.create_run(peer.get_experiment_by_name("peers").experiment_id).info.run_id
        called = []
        for epoch in range(rows // 10):
            now = int(time.time() * 1000)
            batch = [Metric(m, random.random(), now, epoch) for m in METRICS]
            started = time.perf_counter()
            peer.log_batch(run_id, batch)
            called.append(time.perf_counter() - started)
            time.sleep(0.005)
        for way, seconds in (("raymoco", told), ("log_batch in this thread", called)):
            high = sorted(seconds)[int(len(seconds) * 0.99)]
            table.add(store, way, statistics.median(seconds) * 1e6, high * 1e6)
    return table


def _killed(output: Path, server: LocalServer, quick: bool) -> Table:
    table = Table(
        "A sweep whose server is killed and started again",
        ["server", "epochs", "step, median ms", "middle half, ms"],
    )
    file = output / "killed.yaml"
    text = SWEEP.replace("NAME", "killed").replace("EPOCHS", "60" if quick else "200")
    text = (
        text.replace("TRIALS", str(TRIALS))
        .replace("URI", server.uri)
        .replace("OUTPUT", str(output))
    )
    file.write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-m", "raymoco", "sweep", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"},
        text=True,
    )
    path = output / "killed" / "journal.jsonl"
    total = TRIALS * (60 if quick else 200)
    kills = []
    for part in (total // 4, total // 2):
        while not path.exists() or path.read_text().count('"report"') < part:
            if process.poll() is not None:
                raise RuntimeError(process.communicate()[0])
            time.sleep(0.1)
        if kills:
            kills.append(time.time())
            server.start()
        else:
            server.kill()
            kills.append(time.time())
    said, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(said)
    reports = [e for e in read_journal(path, SWEEP_EVENTS) if isinstance(e, Reported)]
    epochs = {
        "up": [e for e in reports if e.time < kills[0]],
        "killed": [e for e in reports if kills[0] <= e.time < kills[1]],
        "up again": [e for e in reports if e.time >= kills[1]],
    }
    for state, events in epochs.items():
        steps = [1e3 * float(e.row["perf/step_seconds"]) for e in events]
        low, middle, high = statistics.quantiles(steps, n=4)
        table.add(state, len(events), middle, f"{low:.3g} to {high:.3g}")
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("raymoco").experiment_id
    runs = client.search_runs([experiment], "tags.`raymoco.sweep` = 'killed'", max_results=50)
    there = sum(
        len(client.get_metric_history(run.info.run_id, name))
        for run in runs
        if run.data.tags["raymoco.trial_id"]
        for name in run.data.metrics
    )
    expected = sum("/" in name for e in reports for name in e.row)
    table.notes = [
        f"Away for {kills[1] - kills[0]:.0f} s; {there} of {expected} points are there at the end.",
    ]
    return table


def _journal(folder: Path, uri: str, trials: int, epochs: int) -> Path:
    """A sweep's folder with the journal of so many trials."""
    folder.mkdir(parents=True)
    text = SWEEP.replace("NAME", folder.name).replace("EPOCHS", str(epochs))
    text = text.replace("TRIALS", str(trials)).replace("URI", uri)
    (folder / "sweep.yaml").write_text(text.replace("OUTPUT", str(folder.parent)))
    events: list[Event] = [begun(folder.name, {})]
    for number in range(trials):
        trial_id = f"t{number:03d}"
        events.append(
            Proposed(
                trial_id=trial_id,
                values={"method.temperature": 0.1},
                seed=0,
                cell="",
                config="seed: 0\n",
            )
        )
        events += [_report(trial_id, epoch) for epoch in range(1, epochs + 1)]
        events.append(Ended(trial_id=trial_id, state=TrialState.COMPLETED, reason=""))
    lines = [json.dumps(event.to_dict()) for event in events]
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def _report(trial_id: str, epoch: int) -> Event:
    row = {"epoch": epoch, **{name: random.random() for name in METRICS}}
    return Reported(trial_id=trial_id, row=row, checkpoint=None)


@contextlib.contextmanager
def _server(output: Path) -> Iterator[LocalServer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = f"sqlite:///{output}/server.db"
    server = LocalServer(store, port, output / "server.log", output / "server-artifacts")
    try:
        yield server.start()
    finally:
        server.kill()
