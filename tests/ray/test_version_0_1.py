"""Sweeps that version 0.1 began and did not finish go on."""

from dataclasses import replace

import pytest

from raymoco.study.journal.ledger import load_ledger
from raymoco.study.launch import sweep
from tests.old_folders import put_old_folder


# MLflow 3.17's own use of SQLAlchemy
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
def test_a_killed_ablation_and_an_interrupted_search_go_on(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # their `output` is runs
    folder = put_old_folder("killed", tmp_path / "runs")
    before = load_ledger(folder / "journal.jsonl").trials
    sweep(str(folder / "sweep.yaml"), resume=True)
    after = load_ledger(folder / "journal.jsonl").trials
    assert [trial.state for trial in after.values()] == ["completed"] * 6
    for trial_id in ("labels=none-s0", "labels=all-s0"):
        # it is told to another MLflow, and not run again
        told = replace(after[trial_id], mlflow_run_id=before[trial_id].mlflow_run_id)
        assert told == before[trial_id]
    went_on = after["labels=none-s1"]
    assert went_on.attempt == 2
    assert all(went_on.rows[epoch] == before["labels=none-s1"].rows[epoch] for epoch in range(1, 7))
    log = (folder / "logs" / "labels=none-s1.txt").read_text()
    assert "resumed after epoch 6" in log

    folder = put_old_folder("search", tmp_path / "runs")
    result = sweep(str(folder / "sweep.yaml"), resume=True)
    states = [trial.state for trial in result.trials if not trial.cell]
    assert len(states) == 6, "the budget counts the three from before"
    assert set(states) <= {"completed", "pruned"}
    assert [trial.state for trial in result.trials if trial.cell] == ["completed"] * 4
    assert (folder / "report.html").exists()
