import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import torch
from mlflow.tracking import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from raymoco.config import load_run_config
from raymoco.engine.checkpoint import find_checkpoint, load_checkpoint
from raymoco.engine.predictions import read_predictions
from raymoco.study.journal.ledger import load_ledger
from tests.extending_page import write_page
from tests.small import small_sweep
from tests.undisturbed import alone, timeless

SWEEP = """\
kind: search
search:
  # the run as it stands is no trial of it, so whatever is best can be confirmed
  method.temperature:              {loguniform: [0.15, 0.5]}
  method.queue_size:               {choice: [16, 32]}
  method.cross_consistency.weight: {loguniform: [0.1, 1], or: 0}
  optim.lr:                        {choice: [0.06, 1.0e+30]}
scheduler: {name: asha, grace_epochs: 1, reduction_factor: 2}
sampler: {name: random, seed: 3}
budget: {trials: 8, concurrent: 2}
confirm: {top: 1, seeds: [7, 8], against: {moco: {method.loss: info_nce}}}
"""


@pytest.fixture(scope="module")
def finished(raymoco, tmp_path_factory):
    output = tmp_path_factory.mktemp("sweep")
    file = small_sweep(output / "small.yaml", SWEEP, epochs=4, data__labelled_fraction=0.1)
    done = raymoco("sweep", str(file))
    assert done.returncode == 0, done.stderr + done.stdout
    return output / "small", done, file


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_trial_ends_in_a_state_that_the_table_names(finished):
    folder, _, _ = finished
    rows = rows_of(folder / "trials.csv")
    search = [row for row in rows if not row["cell"]]
    assert len(search) == 8
    assert {row["state"] for row in rows} <= {"completed", "pruned", "failed"}
    exploded = [row for row in search if row["optim.lr"] == "1e+30"]
    assert exploded, "the seed was chosen so that some trials explode"
    assert {(row["state"], row["reason"]) for row in exploded} == {("failed", "nan at epoch 1")}
    for row in search:
        if row["state"] == "completed":
            assert row["epochs"] == "4"
            assert float(row["test/knn_top1"]) > 0.2
            assert float(row["train_seconds"]) <= float(row["wall_seconds"])
    for row in rows:
        for key in ("eval/knn", "test/knn", "test/linear"):
            found = read_predictions(folder / "predictions" / f"{row['trial_id']}.npz", key)
            if row["state"] == "completed":
                assert found is not None
                assert found.correct.mean() == float(row[f"{key}_top1"])


def test_optuna_was_told_the_truth_about_each_trial(finished):
    folder, _, _ = finished
    backend = JournalFileBackend(str(folder / "optuna.log"))
    study = optuna.load_study(study_name="small", storage=JournalStorage(backend))
    told = {f"t{trial.number:03d}": trial for trial in study.trials}
    words = {
        "completed": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    for row in rows_of(folder / "trials.csv"):
        if row["cell"]:
            continue
        trial = told.pop(row["trial_id"])
        assert trial.state == words[row["state"]]
        if row["state"] == "completed":
            assert trial.value == float(row["eval/knn_top1"])
        if row["state"] != "failed":
            # a gang may be an epoch or two ahead of the report that a scheduler stopped it by
            seen = sorted(trial.intermediate_values)
            assert seen == list(range(1, len(seen) + 1))
            assert 1 <= len(seen) <= int(row["epochs"])
    assert not told


# MLflow 3.17's own use of SQLAlchemy
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
def test_mlflow_holds_one_parent_and_every_child_with_its_epochs_and_none_runs_on(finished):
    folder, _, _ = finished
    client = MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "raymoco"]
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.run_name for run in parents] == ["small"]
    assert "best/eval/knn_top1" in parents[0].data.metrics
    children = {run.data.tags["raymoco.trial_id"]: run for run in runs if run not in parents}
    trials = load_ledger(folder / "journal.jsonl").trials
    assert children.keys() == trials.keys()
    assert {run.info.status for run in runs} <= {"FINISHED", "FAILED"}
    for trial_id, trial in trials.items():
        run = children[trial_id]
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert run.data.tags["raymoco.state"] == trial.state
        assert trial.mlflow_run_id == run.info.run_id
        about = {"raymoco.data_digest", "raymoco.versions", "raymoco.device", "raymoco.attempt"}
        assert about <= set(run.data.tags)
        if trial.rows:
            history = client.get_metric_history(run.info.run_id, "eval/knn_top1")
            assert [point.step for point in history] == sorted(trial.rows)
            assert [point.value for point in history] == [
                trial.rows[step]["eval/knn_top1"] for step in sorted(trial.rows)
            ]
        if not trial.cell:
            assert set(run.data.params) == set(trial.values)
        kept = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert "predictions.npz" in kept or trial.state != "completed"


def test_the_best_trial_is_written_as_a_config_that_train_takes(finished):
    folder, _, _ = finished
    rows = [
        r for r in rows_of(folder / "trials.csv") if r["state"] == "completed" and not r["cell"]
    ]
    best = max(rows, key=lambda row: float(row["eval/knn_top1"]))
    config = load_run_config(str(folder / "best.yaml"))
    assert config.method.temperature == float(best["method.temperature"])
    assert config.method.queue_size == int(best["method.queue_size"])


def test_the_end_says_what_was_found_and_where_to_look(finished):
    folder, done, _ = finished
    assert "best trials" in done.stdout
    assert "Trained again with 2 fresh seeds, judged on" in done.stdout
    assert re.search(r"^ *t00\d, the best ", done.stdout, re.MULTILINE)
    assert re.search(r"^ *loss=info_nce ", done.stdout, re.MULTILINE)
    with (folder / "comparisons.csv").open(newline="") as stream:
        compared = [(row["cell"], row["baseline"]) for row in csv.DictReader(stream)]
    best = compared[0][0]
    assert compared == [(best, "default"), (best, "moco"), ("default", "moco")]
    assert f"raymoco ui {folder}" in done.stdout
    for noise in ("Traceback", "WARNING", "INFO", "(raylet)", "Warning:"):
        assert noise not in done.stdout + done.stderr


def test_a_run_that_is_too_short_for_its_key_encoder_is_warned_of_once(finished):
    _, done, _ = finished
    # 4 epochs of 4 batches of 64; the preset's momentum decides how much is left
    said = r"warning: the run as it stands: 0\.\d+ of the key encoder's first weights are left"
    assert re.search(rf"{said} after 16 steps", done.stdout)
    assert done.stdout.count("warning: ") == 1


def test_a_sweep_that_exists_is_refused_and_a_finished_one_resumes_to_nothing_new(
    finished, raymoco
):
    folder, _, file = finished
    before = (folder / "trials.csv").read_text()
    refused = raymoco("sweep", str(file))
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    changed = raymoco("sweep", str(file), "--resume", "run.epochs=5")
    assert changed.returncode == 2
    assert "-  epochs: 4" in changed.stderr
    again = raymoco("sweep", str(file), "--resume")
    assert again.returncode == 0, again.stderr
    assert (folder / "trials.csv").read_text() == before


def test_a_trial_on_a_warm_gang_is_bit_for_bit_the_same_run_alone(finished, tmp_path):
    folder, _, _ = finished
    trials = load_ledger(folder / "journal.jsonl").trials.values()
    late = [t for t in trials if t.state == "completed"][-1]
    undisturbed = timeless(alone(late, folder, tmp_path)[-1])
    assert len(undisturbed) > 8
    assert undisturbed == timeless(late.final)
    ours = load_checkpoint(find_checkpoint(tmp_path)).module
    theirs = load_checkpoint(find_checkpoint(folder / "checkpoints" / late.trial_id)).module
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_ray_job_submit_runs_a_sweep_on_a_cluster_of_ones_own(head, tmp_path):
    package = Path(__file__).parents[2]
    job = [str(Path(sys.executable).parent / "ray"), "job", "submit", "--address", head.dashboard]
    # only what a job needs travels
    (tmp_path / "work").mkdir()
    for name in ("raymoco", "sweeps"):
        os.symlink(package / name, tmp_path / "work" / name)
    write_page(tmp_path / "work")  # code of one's own travels with the job
    home = tmp_path / "home"
    done = subprocess.run(
        [
            *job, "--working-dir", str(tmp_path / "work"),
            "--runtime-env-json", json.dumps({"env_vars": {"RAYMOCO_HOME": str(home)}}), "--",
            sys.executable, "-m", "raymoco", "sweep", "sweeps/demo.yaml", "budget.trials=4",
            "budget.concurrent=1", "run.epochs=2", "run.model.width=4", "scheduler.name=none",
            "confirm=null", "run.method.terms.spread={use: mylab.terms:Spread, weight: 0.1}",
        ],
        env=head.environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    folder = home / "runs" / "demo"
    assert str(folder) in done.stdout
    rows = rows_of(folder / "trials.csv")
    assert [row["state"] for row in rows] == ["completed"] * 4
    assert all(float(row["train/spread"]) > 0 for row in rows)
