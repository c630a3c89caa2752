"""A journal is delivered to real MLflow stores: sqlite, a server, and a server that is away."""

import shutil
import socket
import time

import pytest
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from raymoco.errors import ConfigError, InputError
from raymoco.event_log import Closed, Journal, RunState, begun, read_journal
from raymoco.files import standing_in, working_directory
from raymoco.study.journal.events import (
    SWEEP_EVENTS,
    Assigned,
    Ended,
    Proposed,
    Reported,
    TrialState,
)
from raymoco.study.mlflow.translate import SweepTranslator
from raymoco.study.sweepfile.load import load_sweep
from raymoco.tracking import Mirror, count_backlog, missing_lines, place_of, tracking_uri
from tests.full_disk import room

# MLflow 3.17's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

SWEEP = """\
kind: search
name: small
run: {preset: digits, epochs: 3}
search: {method.temperature: {loguniform: [0.05, 0.5]}}
budget: {trials: 2}
"""
TRIALS = {"t000": 0.1, "t001": 0.2}


@pytest.fixture
def sweep(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(SWEEP)
    return load_sweep(file)


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    """An empty sqlite store: making one takes seconds."""
    output = tmp_path_factory.mktemp("schema")
    MlflowClient(tracking_uri(None, output)).search_experiments()
    return output / "mlflow.db"


@pytest.fixture
def folder(tmp_path, schema):
    shutil.copy(schema, tmp_path / "mlflow.db")
    return tmp_path / "small"


def open_journal(folder):
    journal = Journal(folder / "journal.jsonl")
    journal.append(begun("an-id", {"raymoco.device": "cpu"}))
    return journal


def propose(journal, trial_id):
    values = {"method.temperature": TRIALS.get(trial_id, 0.3)}
    about = {"trial_id": trial_id, "values": values, "seed": 0, "cell": "", "config": "seed: 0\n"}
    journal.append(Proposed(**about))
    journal.append(Assigned(trial_id=trial_id, attempt=0, gang="g0"))


def report(journal, trial_id, epoch, knn=None):
    row = {"epoch": epoch, "train_seconds": 1.0, "train/loss": 1 / epoch}
    row["eval/knn_top1"] = 0.5 + epoch / 10 if knn is None else knn
    journal.append(Reported(trial_id=trial_id, row=row, checkpoint=None))


def end(journal, trial_id, state="completed"):
    journal.append(Ended(trial_id=trial_id, state=TrialState(state), reason=""))


def play(folder, epochs=(1, 2, 3)):
    """A whole sweep's journal."""
    journal = open_journal(folder)
    for trial_id in TRIALS:
        propose(journal, trial_id)
        for epoch in epochs:
            report(journal, trial_id, epoch)
        end(journal, trial_id)
    journal.append(Closed(state=RunState.COMPLETED))
    journal.close()


def mirror_of(folder, sweep, uri=None, **hears):
    return Mirror(place_of(folder, uri, None), lambda: SweepTranslator(folder, sweep), **hears)


def runs_in(uri, view=ViewType.ACTIVE_ONLY):
    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name("raymoco").experiment_id], "", view)
    return {run.data.tags["raymoco.trial_id"]: run for run in found}, len(found), client


def curve(client, run, metric="eval/knn_top1"):
    points = client.get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.value) for point in points)


def assert_complete(uri, epochs=(1, 2, 3)):
    runs, count, client = runs_in(uri)
    assert count == len(runs) == 1 + len(TRIALS)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for trial_id in TRIALS:
        assert runs[trial_id].data.tags["mlflow.parentRunId"] == runs[""].info.run_id
        assert curve(client, runs[trial_id]) == [(e, 0.5 + e / 10) for e in epochs]
    return runs, client


def test_a_sweep_is_one_parent_and_a_child_per_trial_that_says_what_varies(folder, sweep):
    play(folder)
    (folder / "trials.csv").write_text("trial_id\n")
    (folder / "predictions").mkdir()
    (folder / "predictions" / "t000.npz").write_bytes(b"of t000")
    outcome = mirror_of(folder, sweep).deliver()
    assert (outcome.points, outcome.left.events, outcome.error) == (12, 0, "")
    runs, client = assert_complete(tracking_uri(None, folder.parent))
    child, parent = runs["t000"], runs[""]
    assert child.info.run_name == "T=0.1"
    kept = {key: [f.path for f in client.list_artifacts(runs[key].info.run_id)] for key in runs}
    assert ("predictions.npz" in kept["t000"], "predictions.npz" in kept["t001"]) == (True, False)
    assert child.data.params == {"method.temperature": "0.1"}
    assert child.data.tags["raymoco.sweep"] == "small"
    assert child.data.tags["raymoco.seed"] == "0"
    assert child.data.tags["raymoco.state"] == "completed"
    # to the millisecond, and it may end in the one in which it began
    events = read_journal(folder / "journal.jsonl", SWEEP_EVENTS)
    times = [event.time for event in events if getattr(event, "trial_id", "") == "t000"]
    assert child.info.start_time == round(times[0] * 1000)
    assert child.info.end_time == round(times[-1] * 1000)
    assert parent.data.metrics["best/eval/knn_top1"] == 0.8
    assert parent.data.metrics["sweep/completed"] == 2
    assert parent.data.tags["raymoco.best_trial"] == "t000"
    listed = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert listed == {"sweep.yaml", "trials.csv"}


def test_a_second_delivery_changes_nothing(folder, sweep):
    play(folder)
    mirror_of(folder, sweep).deliver()
    outcome = mirror_of(folder, sweep).deliver(again=True)
    assert outcome.points == 12
    assert not outcome.refused
    assert_complete(tracking_uri(None, folder.parent))
    assert mirror_of(folder, sweep).deliver().events == 0


def test_many_rows_are_few_calls(folder, sweep, monkeypatch):
    import raymoco.tracking.store as store

    sizes = []
    real = store.MlflowClient.log_batch

    def counted(self, run_id, metrics=(), params=(), tags=()):
        sizes.append(len(metrics))
        return real(self, run_id, metrics, params, tags)

    monkeypatch.setattr(store.MlflowClient, "log_batch", counted)
    play(folder, epochs=(1,))
    lines = (folder / "journal.jsonl").read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if '"report"' in line)
    more = [lines[at].replace('"epoch": 1,', f'"epoch": {epoch},') for epoch in range(2, 1201)]
    (folder / "journal.jsonl").write_text("\n".join([*lines[:at], *more, *lines[at:]]) + "\n")
    mirror_of(folder, sweep).deliver()
    # 2,400 points of a trial in batches of at most 1,000, 2 of another one, and the parent's
    assert len(sizes) == 5
    assert sum(sizes) == 2400 + 2 + 2 * 5
    assert max(sizes) == 1000


def test_the_mirror_delivers_while_the_journal_grows_and_a_resume_goes_on_in_the_same_runs(
    folder, sweep
):
    made = {}
    journal = open_journal(folder)
    mirror = mirror_of(folder, sweep, on_made=made.__setitem__)
    mirror.start()
    propose(journal, "t000")
    report(journal, "t000", 1)
    mirror.wake()
    deadline = time.monotonic() + 60
    while "t000" not in made:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    end(journal, "t000", "stopped")
    journal.append(Closed(state=RunState.STOPPED))
    assert mirror.close().left.events == 0
    uri = tracking_uri(None, folder.parent)
    runs, _, _ = runs_in(uri)
    assert {key: run.info.status for key, run in runs.items()} == {"": "KILLED", "t000": "KILLED"}

    journal.append(begun("an-id", {}))
    again = mirror_of(folder, sweep)
    again.start()
    journal.append(Assigned(trial_id="t000", attempt=1, gang="g0"))
    report(journal, "t000", 2)
    end(journal, "t000")
    journal.append(Closed(state=RunState.COMPLETED))
    journal.close()
    assert again.close().left.events == 0
    runs, count, client = runs_in(uri)
    assert count == 2
    assert runs["t000"].info.run_id == made["t000"]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert curve(client, runs["t000"]) == [(1, 0.6), (2, 0.7)]


def test_of_a_killed_sweep_sync_leaves_no_run_running(folder, sweep, monkeypatch):
    journal = open_journal(folder)
    propose(journal, "t000")
    report(journal, "t000", 1)
    journal.close()
    uri = tracking_uri(None, folder.parent)
    mirror_of(folder, sweep).deliver()
    assert {run.info.status for run in runs_in(uri)[0].values()} == {"RUNNING"}, "we are alive"
    monkeypatch.setattr("raymoco.tracking.mirror.is_alive", lambda event: False)
    mirror_of(folder, sweep).deliver()
    runs = runs_in(uri)[0]
    assert {run.info.status for run in runs.values()} == {"KILLED"}
    assert runs["t000"].data.tags["raymoco.state"] == "interrupted"


def test_a_torn_line_is_not_delivered_and_infinite_values_are(folder, sweep):
    journal = open_journal(folder)
    propose(journal, "t000")
    report(journal, "t000", 1, knn=float("nan"))
    report(journal, "t000", 2, knn=float("inf"))
    journal.close()
    with (folder / "journal.jsonl").open("a") as stream:
        stream.write('{"event": "report", "trial_id": "t0')
    outcome = mirror_of(folder, sweep).deliver()
    assert (outcome.points, outcome.refused, outcome.error) == (4, [], "")


def test_a_store_that_was_emptied_is_told_everything_again(folder, sweep, schema):
    play(folder)
    mirror_of(folder, sweep).deliver()
    shutil.copy(schema, folder.parent / "mlflow.db")
    mirror_of(folder, sweep).deliver()
    assert_complete(tracking_uri(None, folder.parent))


def test_a_run_that_somebody_deleted_stays_deleted_and_the_rest_is_delivered(folder, sweep):
    journal = open_journal(folder)
    for trial_id in TRIALS:
        propose(journal, trial_id)
    mirror_of(folder, sweep).deliver()
    uri = tracking_uri(None, folder.parent)
    runs, _, client = runs_in(uri)
    client.delete_run(runs["t000"].info.run_id)
    for trial_id in TRIALS:
        report(journal, trial_id, 1)
    journal.close()
    mirror = mirror_of(folder, sweep)
    outcome = mirror.deliver()
    assert len(outcome.refused) == 1
    assert missing_lines(mirror.place, outcome)[0].startswith("warning: MLflow refused t000: ")
    runs, count, client = runs_in(uri)
    assert count == 2
    assert curve(client, runs["t001"]) == [(1, 0.6)]


def test_a_deleted_experiment_is_named_and_what_waits_is_delivered_once_it_is_restored(
    folder, sweep
):
    uri = tracking_uri(None, folder.parent)
    artifacts = (folder.parent / "artifacts").as_uri()
    made = MlflowClient(uri).create_experiment("raymoco", artifacts)
    MlflowClient(uri).delete_experiment(made)
    play(folder)
    said = []
    mirror = mirror_of(folder, sweep, say=said.append)
    outcome = mirror.deliver()
    assert "its experiment 'raymoco' was deleted there" in said[0]
    assert (outcome.points, outcome.refused) == (0, [])
    assert outcome.left.points == 12
    (deleted,) = MlflowClient(uri).search_experiments(ViewType.DELETED_ONLY)
    MlflowClient(uri).restore_experiment(deleted.experiment_id)
    mirror_of(folder, sweep).deliver()
    assert_complete(uri)


def test_nowhere_logs_nothing_and_another_scheme_is_refused(folder, sweep):
    play(folder)
    mirror = mirror_of(folder, sweep, "none")
    mirror.start()
    assert mirror.close().left.events == 0
    assert [file.name for file in folder.iterdir()] == ["journal.jsonl"]
    with pytest.raises(InputError, match="sqlite:///PATH"):
        tracking_uri("localhost:5000", folder)


def test_a_relative_sqlite_store_lies_where_the_command_was_typed(folder, sweep, monkeypatch):
    monkeypatch.chdir(folder.parent)
    play(folder)
    with standing_in(folder.parent / "out", working_directory()):
        mirror_of(folder, sweep, "sqlite:///mlflow.db").deliver()
    assert_complete(tracking_uri(None, folder.parent))
    assert not list((folder.parent / "out").iterdir())


def test_two_processes_do_not_deliver_the_same_journal_at_once(folder, sweep):
    play(folder)
    first = mirror_of(folder, sweep)
    assert first._take_lock()
    with pytest.raises(ConfigError, match="another process"):
        mirror_of(folder, sweep).deliver()
    first._release_lock()
    assert mirror_of(folder, sweep).deliver().points == 12


def test_a_server_that_never_comes_delays_nobody_and_the_end_names_the_command(folder, sweep):
    said = []
    with socket.socket() as taken:  # bound and not listening: refused at once, and nobody else's
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        play(folder)
        mirror = mirror_of(folder, sweep, uri, say=said.append)
        mirror.start()
        while not said:
            time.sleep(0.02)
        mirror.wake()
        outcome = mirror.close()
    assert len(said) == 1
    assert "does not answer (connection refused)" in said[0]
    assert outcome.left.points == 12
    (line,) = missing_lines(mirror.place, outcome)
    assert "12 points wait in the journal, none is lost" in line
    assert line.endswith(f"raymoco sync {folder}")
    assert count_backlog(mirror.place, SWEEP_EVENTS).points == 12


def test_on_a_full_disk_the_thread_lives_and_delivers_when_there_is_room(folder, sweep):
    journal = open_journal(folder)
    said = []
    mirror = mirror_of(folder, sweep, say=said.append)
    with room(0):
        mirror.start()
        deadline = time.monotonic() + 30
        while not said and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "training goes on, and what it logs is delivered later" in said[0]
    outcome = mirror.close()
    assert (outcome.error, outcome.left.events) == ("", 0)
    journal.close()
