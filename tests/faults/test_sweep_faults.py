"""Something is interrupted or killed while a sweep runs; what was finished is there, and said."""

import csv
import signal
import subprocess
import sys
import time

import psutil
import pytest
from mlflow.tracking import MlflowClient

SWEEP = """\
kind: search
name: long
run:
  preset: digits
  data: {{limit: 300}}
  model: {{width: 4}}
  optim: {{batch_size: 64}}
  method: {{queue_size: 32}}
  epochs: 30
search:
  method.temperature: {{loguniform: [0.05, 0.5]}}
sampler: {{name: random}}
budget: {{trials: 4, concurrent: 2}}
output: {output}
"""


@pytest.fixture
def running(head, tmp_path):
    """A sweep in a process of its own, returned once two trials have reported."""
    file = tmp_path / "long.yaml"
    file.write_text(SWEEP.format(output=tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "raymoco", "sweep", str(file)],
        env={**head.environment, "RAY_ADDRESS": head.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = tmp_path / "long" / "journal.jsonl"
    deadline = time.monotonic() + 150
    while not journal.exists() or journal.read_text().count('"report"') < 4:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield process, tmp_path / "long", file
    if process.poll() is None:
        process.kill()
        process.wait(10)


def states(folder):
    with (folder / "trials.csv").open(newline="") as stream:
        return [row["state"] for row in csv.DictReader(stream)]


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
def test_ctrl_c_ends_the_trials_as_stopped_and_a_resume_meets_the_budget(running, raymoco):
    process, folder, file = running
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in out
    assert "Traceback" not in out + err
    before = states(folder)
    assert before.count("stopped") == 2
    client = MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "raymoco"]
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} <= {"KILLED", "FINISHED"}
    done = raymoco("sweep", str(file), "--resume")
    assert done.returncode == 0, done.stderr
    after = states(folder)
    assert len(after) == 4
    assert after.count("stopped") == 2
    assert after.count("completed") == 2
    assert len(client.search_runs([experiment.experiment_id])) == 5


def test_a_killed_worker_fails_the_sweep_in_words_and_leaves_its_tables(running, head):
    process, folder, _ = running
    (worker, *_rest) = [
        one
        for one in psutil.process_iter(["cmdline"])
        if "RayTrainWorker" in " ".join(one.info["cmdline"] or ())
        and head.folder in " ".join(one.parent().cmdline())
    ]
    worker.kill()
    out, err = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "was lost: a worker process died" in err
    assert "Traceback" not in out + err
    assert states(folder).count("failed") >= 1
