"""Something is interrupted or killed while a sweep runs; what was finished is there, and said."""

import csv
import random
import re
import signal
import time
from dataclasses import replace

import psutil
import pytest
import ray
from mlflow.tracking import MlflowClient

from raymoco.engine.checkpoint import find_checkpoint
from raymoco.event_log import Closed, read_journal
from raymoco.study.journal.events import SWEEP_EVENTS
from raymoco.study.journal.find import find
from raymoco.study.journal.ledger import load_ledger
from raymoco.study.terminal.status import read_status
from tests.faults.injected import processes
from tests.live_sweeps import begin, end, wait_until
from tests.small import small_sweep
from tests.undisturbed import alone, timeless

CPUS = 3  # of the head
SWEEP = """\
kind: search
search: {method.temperature: {loguniform: [0.05, 0.5]}}
sampler: {name: random}
budget: {trials: 4, concurrent: 2}
"""
CELLS = """\
kind: ablation
factors: {loss: {unicon: {method.loss: unicon}, info_nce: {method.loss: info_nce}}}
seeds: [0]
tracking: {uri: none}
"""


@pytest.fixture
def file(tmp_path, request):
    return small_sweep(tmp_path / "long.yaml", SWEEP, epochs=getattr(request, "param", 30))


# MLflow 3.17's own use of SQLAlchemy
IGNORED = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def two_report(ledger):
    epochs = [trial.epochs for trial in ledger.in_state("running")]
    return len(epochs) == 2 and min(epochs) >= 1 and max(epochs) >= 2


@pytest.fixture
def running(head, file):
    """A sweep in a process of its own, returned once two trials have reported."""
    process = begin(head, file)
    folder = file.with_suffix("")
    journal = folder / "journal.jsonl"
    wait_until(lambda: journal.exists() and two_report(load_ledger(journal)), process=process)
    yield process, folder, file
    if process.poll() is None:
        end(process)


def states(folder):
    with (folder / "trials.csv").open(newline="") as stream:
        return [row["state"] for row in csv.DictReader(stream)]


@IGNORED
def test_ctrl_c_ends_the_trials_as_stopped_and_a_resume_meets_the_budget(running, raymoco):
    process, folder, file = running
    seen = read_status(find(str(folder)))
    assert (seen.state, seen.driver.pid, seen.trials) == ("running", process.pid, 4)
    assert len(seen.running) == 2
    assert max(one.epoch for one in seen.running) >= 2
    assert {gang.name for gang in seen.gangs} == {"gang-0", "gang-1"}
    assert 0 < seen.left_seconds < 3600
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "interrupted" in out
    assert "Traceback" not in out + err
    before = states(folder)
    assert before.count("stopped") == 2
    assert read_status(find(str(folder))).state == "stopped"
    assert set(mlflow_states(folder)) <= {"KILLED", "FINISHED"}
    done = raymoco("sweep", str(file), "--resume")
    assert done.returncode == 0, done.stderr
    after = states(folder)
    assert len(after) == 4
    assert after.count("stopped") == 2
    assert after.count("completed") == 2
    assert len(mlflow_runs(folder)) == 5


def mlflow_runs(folder):
    client = MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")
    # none at all if the driver ended before it came to MLflow
    experiments = [e.experiment_id for e in client.search_experiments() if e.name == "raymoco"]
    return client.search_runs(experiments) if experiments else []


def mlflow_states(folder):
    return [run.info.status for run in mlflow_runs(folder)]


def mlflow_ids(folder):
    return {run.info.run_name: run.info.run_id for run in mlflow_runs(folder)}


def half_done(ledger):
    # one that is far from its last epoch: its gang goes on until it hears that its driver is dead
    running = [trial for trial in ledger.in_state("running") if 2 < trial.epochs < 20]
    return bool(ledger.in_state("completed") and running)


def untracked(trial):
    # MLflow is told in the background, and its ids come to the journal when it has answered
    return replace(trial, mlflow_run_id="")


def ours(head):
    titles = ("RayTrainWorker", "TrainController", "Broker", "TrialClient")
    return [one for title in titles for one in processes(head, title)]


# long enough: the other gang must not end all trials before the new one is up
@pytest.mark.slow
@pytest.mark.parametrize("file", [90], indirect=True)
@IGNORED
def test_a_controller_is_replaced_and_without_its_broker_a_sweep_ends_and_can_go_on(
    running, head, raymoco
):
    process, folder, file = running
    journal = folder / "journal.jsonl"
    wait_until(lambda: journal.read_text().count('"gang_up"') == 2, process=process)
    processes(head, "TrainController")[0].kill()
    wait_until(lambda: journal.read_text().count('"gang_up"') >= 3, process=process)
    assert journal.read_text().count('"gang_lost"') == 1
    (broker,) = processes(head, "Broker")
    broker.kill()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the broker, the actor between Tune and the gangs, has died" in err
    assert "--resume" in err
    assert "Traceback" not in out + err
    wait_until(lambda: not ours(head), 30)
    assert "RUNNING" not in mlflow_states(folder)
    done = raymoco("sweep", str(file), "--resume")
    assert done.returncode == 0, done.stderr
    assert states(folder) == ["completed"] * 4
    trials = load_ledger(journal).trials.values()
    assert all(sorted(trial.rows) == list(range(1, 91)) for trial in trials)


@IGNORED
def test_a_killed_driver_leaves_nothing_behind_and_a_resume_repeats_nothing(
    running, head, cluster, tmp_path
):
    process, folder, file = running
    journal = folder / "journal.jsonl"
    wait_until(lambda: half_done(load_ledger(journal)), process=process)
    end(process)
    wait_until(lambda: not ours(head), 30)
    wait_until(lambda: ray.available_resources()["CPU"] == CPUS, 30)
    before = load_ledger(journal).trials
    cut = min(
        (t for t in before.values() if t.state == "running" and t.epochs > 1),
        key=lambda trial: trial.epochs,
    )
    # what a kill at a worse moment would have left
    with journal.open("a") as stream:
        stream.write('{"event": "report", "trial_id": "t0')
    newest = find_checkpoint(folder / "checkpoints" / cut.trial_id)
    newest.write_bytes(newest.read_bytes()[:-1000])
    known = mlflow_ids(folder)
    first = begin(head, file, "--resume")
    wait_until(lambda: len(load_ledger(journal).begun) == 2, process=first)
    second = begin(head, file, "--resume")
    changed = begin(head, file, "--resume", "run.epochs=31")
    assert "another process is running this sweep" in second.communicate(timeout=60)[1]
    assert "+  epochs: 31" in changed.communicate(timeout=60)[1]
    assert (second.returncode, changed.returncode) == (2, 2)
    out, err = first.communicate(timeout=300)
    assert first.returncode == 0, err + out
    after = load_ledger(journal).trials
    assert states(folder) == ["completed"] * 4
    for trial_id, trial in before.items():
        if trial.state == "completed":
            assert untracked(after[trial_id]) == untracked(trial)
    log = (folder / "logs" / f"{cut.trial_id}.txt").read_text()
    assert f"{newest.name}: cannot be read" in log
    assert f"resumed after epoch {int(newest.stem[6:]) - 1}" in log
    assert known.items() <= mlflow_ids(folder).items()
    assert after[cut.trial_id].mlflow_run_id in mlflow_ids(folder).values()
    rows = [timeless(row) for _, row in sorted(after[cut.trial_id].rows.items())]
    assert rows == [timeless(row) for row in alone(cut, folder, tmp_path / "alone")]
    found = mlflow_states(folder)
    assert sorted(found) == ["FINISHED"] * 5


@pytest.mark.slow
def test_a_resume_may_add_seeds_and_take_other_gangs(raymoco, tmp_path):
    file = small_sweep(tmp_path / "cells.yaml", CELLS, epochs=2)
    assert raymoco("sweep", str(file)).returncode == 0
    before = load_ledger(tmp_path / "cells" / "journal.jsonl").trials
    more = ("seeds=[0, 1]", "budget.concurrent=1", "gang.cpus_per_worker=0.5")
    done = raymoco("sweep", str(file), "--resume", *more)
    assert done.returncode == 0, done.stderr
    after = load_ledger(tmp_path / "cells" / "journal.jsonl").trials
    assert {name: after[name] for name in before} == before
    assert [trial.seed for trial in after.values()] == [0, 0, 1, 1]
    assert states(tmp_path / "cells") == ["completed"] * 4
    with (tmp_path / "cells" / "comparisons.csv").open(newline="") as stream:
        assert [row["n"] for row in csv.DictReader(stream)] == ["2"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("more", [(), ("repeats=2", "budget.trials=2")], ids=["plain", "repeats"])
def test_five_kills_at_any_moment_change_no_digit(head, raymoco, file, tmp_path, more):
    calm = raymoco("sweep", str(file), f"output={tmp_path / 'calm'}", *more)
    assert calm.returncode == 0, calm.stderr
    folder, journal = tmp_path / "long", tmp_path / "long" / "journal.jsonl"
    moment = random.Random(7)
    for _ in range(5):
        written = journal.stat().st_size if journal.exists() else 0
        process = begin(head, file, "--resume", *more)
        # from before the gangs are up to the middle of the training
        wait_until(
            lambda written=written: journal.exists() and journal.stat().st_size > written, 100
        )
        time.sleep(moment.uniform(0, 12))
        end(process)
    done = raymoco("sweep", str(file), "--resume", *more)
    assert done.returncode == 0, done.stderr
    shaken = load_ledger(journal).trials
    still = load_ledger(tmp_path / "calm" / "long" / "journal.jsonl").trials
    # which second repeat comes first is a matter of time
    assert sorted(shaken) == sorted(still) if more else list(shaken) == list(still)
    for trial_id, trial in still.items():
        assert shaken[trial_id].values == trial.values
        assert shaken[trial_id].state == "completed"
        assert {e: timeless(r) for e, r in shaken[trial_id].rows.items()} == {
            e: timeless(r) for e, r in trial.rows.items()
        }
    with (folder / "trials.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 4


@pytest.mark.slow
def test_sigterm_ends_like_ctrl_c_and_a_second_ctrl_c_ends_at_once(running, head):
    process, folder, file = running
    process.terminate()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert states(folder).count("stopped") == 2
    wait_until(lambda: not ours(head), 30)
    again = begin(head, file, "--resume")
    journal = folder / "journal.jsonl"
    seen = journal.read_text().count('"report"')
    wait_until(lambda: journal.read_text().count('"report"') > seen, 120)
    again.send_signal(signal.SIGINT)
    time.sleep(0.3)  # two signals at once are one
    again.send_signal(signal.SIGINT)
    _, err = again.communicate(timeout=5)
    assert again.returncode == 130, err
    wait_until(lambda: not ours(head), 30)


@pytest.mark.slow
def test_ctrl_c_while_preparing_and_during_the_report_ends_as_cleanly(head, raymoco, tmp_path):
    file = small_sweep(tmp_path / "short.yaml", CELLS, epochs=1)
    folder = file.with_suffix("")
    process = begin(head, file)
    assert process.stdout.readline().startswith("prepare")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err.strip()) == (130, "interrupted"), out + err
    assert not folder.exists()  # nothing had been written

    process = begin(head, file)
    # the step before the report; when its figures are there, it is as good as written
    wait_until((folder / "comparisons.csv").exists, process=process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, out + err
    assert "interrupted: the report is left out; write it with: raymoco report" in out
    assert "Traceback" not in out + err
    assert states(folder) == ["completed"] * 2
    *_, last = read_journal(folder / "journal.jsonl", SWEEP_EVENTS)
    assert isinstance(last, Closed)
    assert last.state == "stopped"
    assert not (folder / ".closed").exists()
    wait_until(lambda: not ours(head), 30)
    done = raymoco("sweep", str(file), "--resume")
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").exists()
    assert (folder / ".closed").exists()
    assert states(folder) == ["completed"] * 2


@IGNORED
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 1, 3])
def test_ctrl_c_before_anything_trains_leaves_nothing_running(head, raymoco, file, seconds):
    folder = file.with_suffix("")
    process = begin(head, file)
    wait_until((folder / "journal.jsonl").exists, 60, process)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    wait_until(lambda: not ours(head), 30)
    assert "RUNNING" not in mlflow_states(folder)
    done = raymoco("sweep", str(file), "--resume", "run.epochs=30")
    assert done.returncode == 0, done.stderr
    assert len(states(folder)) == 4


@pytest.mark.slow
def test_a_killed_driver_takes_its_own_ray_along(head, raymoco, file):
    journal = file.with_suffix("") / "journal.jsonl"
    process = begin(head, file, RAY_ADDRESS="local")
    wait_until(lambda: journal.exists() and '"report"' in journal.read_text(), 100, process)
    # Ray's two agents try for a minute to tell their dead head that their node is dead
    below = [
        one
        for one in psutil.Process(process.pid).children(recursive=True)
        if not re.search(r"Agent|agent/main|agent\.py", " ".join(one.cmdline()[:3]))
    ]
    assert any("RayTrainWorker" in " ".join(one.cmdline()) for one in below)
    end(process)
    wait_until(lambda: not any(one.is_running() for one in below), 30)
    done = raymoco("sweep", str(file), "--resume")
    assert done.returncode == 0, done.stderr
    assert states(journal.parent) == ["completed"] * 4
