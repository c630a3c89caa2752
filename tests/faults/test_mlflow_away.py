"""MLflow is killed, comes late, or loses its answers; what it holds in the end is whole."""

import contextlib
import multiprocessing
import os
import random
import signal
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from mlflow.tracking import MlflowClient

from raymoco.study.journal.find import find
from raymoco.study.journal.ledger import load_ledger
from raymoco.study.mlflow.sync import UndeliveredError, sync
from raymoco.study.mlflow.translate import open_translator
from raymoco.tracking import count_backlog, place_of
from raymoco.tracking.server import LocalServer
from raymoco.tracking.store import open_store
from tests.faults.journals import deliver, drive, tracked_sweep, write_journal
from tests.faults.postgresql import postgresql
from tests.live_sweeps import begin, wait_until
from tests.ports import free_port

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def server(tmp_path):
    """A server that is not up yet, on a store of its own."""
    one = LocalServer(
        f"sqlite:///{tmp_path}/server.db",
        free_port(),
        tmp_path / "server.log",
        tmp_path / "server-artifacts",
    )
    yield one
    one.kill()


def runs_in(uri, sweep=None):
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("raymoco").experiment_id
    runs = client.search_runs([experiment], f"tags.`raymoco.sweep` = '{sweep}'" if sweep else "")
    return runs, client


def assert_holds_the_journal(uri, folder):
    """Every point of the journal once, no run more, each ended as its trial."""
    trials = load_ledger(folder / "journal.jsonl").trials
    runs, client = runs_in(uri, folder.name)
    children = {run.data.tags["raymoco.trial_id"]: run for run in runs}
    assert len(runs) == len(children) == len(trials) + 1
    points = 0
    for trial_id, trial in trials.items():
        run = children[trial_id]
        assert run.data.tags["raymoco.state"] == trial.state
        assert run.info.status == {"failed": "FAILED", "stopped": "KILLED"}.get(
            trial.state, "FINISHED"
        )
        for metric in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, metric)
            stands = {e: row[metric] for e, row in trial.rows.items() if metric in row}
            assert {point.step: point.value for point in history} == stands
            assert len(history) == len(stands)
            points += len(history)
        names = {name for row in trial.rows.values() for name in row if "/" in name}
        assert run.data.metrics.keys() == names
    return points


class LosesAnswers(ThreadingHTTPServer):
    """Hands calls on to a real server, and drops the first answer to each call that writes."""

    def __init__(self, target):
        self.target, self.dropped, self.lock = target, set(), threading.Lock()
        super().__init__(("127.0.0.1", 0), HandOn)

    def drops(self, call):
        with self.lock:
            fresh = call not in self.dropped
            self.dropped.add(call)
            return fresh


class HandOn(BaseHTTPRequestHandler):
    def hand_on(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        kind = self.headers.get("Content-Type") or "application/json"
        call = Request(
            self.server.target + self.path, body, {"Content-Type": kind}, method=self.command
        )
        try:
            with urlopen(call, timeout=30) as answer:
                content, status = answer.read(), answer.status
        except HTTPError as error:
            content, status = error.read(), error.code
        writes = self.path.endswith(("runs/create", "log-batch", "runs/update"))
        if writes and self.server.drops((self.path, body)):
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = hand_on

    def log_message(self, *_):
        pass


@pytest.fixture(params=["sqlite", "postgresql"])
def server_on_either(request, tmp_path):
    """A running server, on sqlite and on PostgreSQL."""
    log, artifacts = tmp_path / "server.log", tmp_path / "server-artifacts"
    with ExitStack() as closing:
        store = f"sqlite:///{tmp_path}/server.db"
        if request.param == "postgresql":
            store = closing.enter_context(postgresql(free_port()))
        one = LocalServer(store, free_port(), log, artifacts)
        closing.callback(one.kill)
        yield one.start()


def test_answers_that_are_lost_make_no_run_and_no_point_twice(server_on_either, tmp_path):
    server = server_on_either
    proxy = LosesAnswers(server.uri)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{proxy.server_port}"
    file = tracked_sweep(tmp_path, uri)
    write_journal(file, tmp_path / "away")
    found = find(str(tmp_path / "away"))
    tries = 0
    while count_backlog(place_of(found.folder, uri, None), found.kinds).events:
        tries += 1
        assert tries < 100
        with contextlib.suppress(UndeliveredError):
            sync(found)
    proxy.shutdown()
    proxy.server_close()
    assert tries > 8, "four runs were made, filled and ended"
    assert assert_holds_the_journal(server.uri, found.folder) == 3 * 5 * 2


@pytest.mark.parametrize("away_s", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_a_server_killed_in_the_middle_of_a_sweep_misses_nothing(server, head, tmp_path, away_s):
    server.start()
    epochs = 100 if away_s < 10 else 400
    file = tracked_sweep(tmp_path, server.uri, epochs=epochs, trials=4)
    folder = tmp_path / "away"
    process = begin(head, file)
    journal = folder / "journal.jsonl"
    wait_until(
        lambda: journal.exists() and journal.read_text().count('"report"') > 10, process=process
    )
    server.kill()
    before = journal.read_text().count('"report"')
    time.sleep(away_s)
    reported = journal.read_text().count('"report"')
    assert reported > before + 10, "nobody waits for MLflow"
    server.start()
    out = "".join(process.communicate(timeout=250))
    assert process.returncode == 0, out
    assert out.count("does not answer (") == 1
    assert "raymoco sync" not in out, "everything was delivered by itself"
    for noise in ("Traceback", "View run", "INFO", "WARNING"):
        assert noise not in out
    assert assert_holds_the_journal(server.uri, folder) > 4 * 100 * 5


@pytest.mark.slow
def test_a_server_that_never_comes_is_told_later_by_sync(server, raymoco, tmp_path):
    file = tracked_sweep(tmp_path, server.uri)
    folder = tmp_path / "away"
    done = raymoco("sweep", str(file))
    assert done.returncode == 0, done.stderr
    said = done.stderr + done.stdout
    assert f"raymoco sync {folder}" in said
    assert "Traceback" not in said
    too_early = raymoco("sync", str(folder))
    assert too_early.returncode == 1
    assert "connection refused" in too_early.stderr
    server.start()
    synced = raymoco("sync", str(folder))
    assert synced.returncode == 0, synced.stderr
    points = assert_holds_the_journal(server.uri, folder)
    assert f"delivered {points} points" in synced.stdout
    again = raymoco("sync", str(folder))
    assert "has everything" in again.stdout
    ids = {trial.mlflow_run_id for trial in load_ledger(folder / "journal.jsonl").all()}
    runs, _ = runs_in(server.uri)
    assert ids == {r.info.run_id for r in runs if "mlflow.parentRunId" in r.data.tags}
    assert all(run_id in (folder / "trials.csv").read_text() for run_id in ids)


def test_a_driver_killed_at_any_moment_loses_no_point_and_makes_no_run_twice(tmp_path):
    file = tracked_sweep(tmp_path, "null")
    folder = tmp_path / "away"
    folder.mkdir()
    (folder / "sweep.yaml").write_text(file.read_text())
    context = multiprocessing.get_context("spawn")
    for kill in range(2):
        up = context.Event()
        process = context.Process(target=drive, args=(folder, kill * 1000, up))
        process.start()
        assert up.wait(100)
        time.sleep(random.uniform(0.2, 3))  # the first time while the store is being made
        process.kill()
        process.join()
        process.close()
    sync(find(str(folder)))
    trials = load_ledger(folder / "journal.jsonl").trials
    runs, client = runs_in(f"sqlite:///{tmp_path}/mlflow.db")
    children = {run.data.tags["raymoco.trial_id"]: run for run in runs}
    assert len(children) == len(runs) == len(trials) + 1
    assert "RUNNING" not in {run.info.status for run in runs}
    for trial_id, trial in trials.items():
        history = client.get_metric_history(children[trial_id].info.run_id, "train/loss")
        assert sorted(point.step for point in history) == sorted(trial.rows)


def test_a_store_that_was_not_made_to_its_end_is_made_again(tmp_path):
    context = multiprocessing.get_context("spawn")
    store = (f"sqlite:///{tmp_path}/mlflow.db", "raymoco", tmp_path)
    process = context.Process(target=open_store, args=store)
    process.start()
    draft = tmp_path / ".mlflow.db.making" / "mlflow.db"
    wait_until(lambda: draft.exists() and draft.stat().st_size > 100_000)
    process.kill()
    process.join()
    process.close()
    assert not (tmp_path / "mlflow.db").exists()
    client, experiment = open_store(*store)
    assert client.get_experiment(experiment).name == "raymoco"
    assert not draft.parent.exists()


def test_four_processes_that_open_a_fresh_store_at_once_all_find_it_whole(tmp_path):
    names = [f"s{number}" for number in range(4)]
    for name in names:
        write_journal(tracked_sweep(tmp_path, "null", name), tmp_path / name)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    processes = [context.Process(target=deliver, args=(tmp_path, name, barrier)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    for process in processes:
        process.close()
    for name in names:
        assert_holds_the_journal(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / name)


@pytest.mark.slow
def test_four_sweeps_that_start_at_once_on_a_fresh_store_all_find_it_whole(head, tmp_path):
    names = [f"s{number}" for number in range(4)]
    words = ("budget.concurrent=1", "gang.cpus_per_worker=0.5")
    processes = [begin(head, tracked_sweep(tmp_path, "null", name), *words) for name in names]
    ends = [process.communicate(timeout=280) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, ends
    for name in names:
        assert_holds_the_journal(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / name)


def test_ctrl_c_with_a_server_that_hangs_does_not_hang(server, tmp_path):
    """A stopped process accepts connections and answers nothing."""
    server.start()
    file = tracked_sweep(tmp_path, server.uri)
    write_journal(file, tmp_path / "away")
    os.killpg(server._process.pid, signal.SIGSTOP)
    try:
        from raymoco.tracking import Mirror

        found = find(str(tmp_path / "away"))
        mirror = Mirror(place_of(found.folder, server.uri, None), open_translator(found))
        mirror.start()
        started = time.monotonic()
        outcome = mirror.close(hasty=True)
        assert time.monotonic() - started < 20
        assert outcome.left.points == 30
        assert outcome.error
    finally:
        os.killpg(server._process.pid, signal.SIGCONT)
