"""What is said of a search with repeats: in its tables, its report, its status and MLflow."""

import csv

from raymoco.event_log import read_journal
from raymoco.study.journal.events import SWEEP_EVENTS
from raymoco.study.journal.find import find
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.mlflow.translate import SweepTranslator
from raymoco.study.report.write import report
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.terminal.status import read_status
from tests.written_sweeps import write_repeats, write_search


def test_trials_csv_has_a_row_per_training_and_its_proposal_last(tmp_path):
    folder = write_repeats(tmp_path / "found")
    with (folder / "trials.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[-2:] == ["mlflow_run_id", "proposal"]
    assert [(row["trial_id"], row["proposal"], row["seed"]) for row in rows][:4] == [
        ("t000-r0", "t000", "0"),
        ("t000-r1", "t000", "1"),
        ("t000-r2", "t000", "2"),
        ("t001-r0", "t001", "0"),
    ]
    plain = write_search(tmp_path / "plain", trials=2)
    assert "proposal" not in (plain / "trials.csv").read_text()


def test_the_report_ranks_proposals_by_their_means_and_says_what_was_spared(tmp_path):
    folder = write_repeats(tmp_path / "found")
    report(folder)
    text = SweepFolder(folder).report("md").read_text()
    assert "Of 1 completed proposal the best reached 0.9100 (mean of 3 seeds)" in text
    assert "| t000 | 3 |" in text
    assert "2 clearly behind the best after some of them; 2 trainings spared by early ends." in text


def test_status_tells_trainings_proposals_and_the_best_mean(tmp_path):
    status = read_status(find(str(write_repeats(tmp_path / "found"))))
    assert (status.best.trial_id, status.best.seeds) == ("t000", 3)
    lines = "\n".join(status.lines())
    # 3 x 3, two of which are spared, and 3 cells with 3 seeds to confirm
    assert "7 of 16 ended" in lines
    assert "repeats  3 of 3 proposals ended, 3 seeds each" in lines
    assert "best     t000  eval/knn_top1 0.9100 (mean of 3 seeds)" in lines


def test_mlflow_has_a_run_for_each_training_with_its_proposal_and_seed(tmp_path):
    folder = write_repeats(tmp_path / "found")
    translator = SweepTranslator(folder, load_sweep(folder / "sweep.yaml"))
    journal = read_journal(folder / "journal.jsonl", SWEEP_EVENTS)
    changes = [change for event in journal for change in translator.take(event)]
    named = {change.key: change for change in changes if change.params}
    assert {k: v for k, v in named["t001-r1"].params.items() if "." not in k} == {
        "proposal": "t001",
        "seed": 1,
    }
    assert named["t001-r1"].name.endswith("seed=1")
    said = [change.tags for change in changes if "raymoco.dropped" in change.tags]
    assert said == [{"raymoco.dropped": "behind t000"}] * 2
    best = [c.tags["raymoco.best_trial"] for c in changes if "raymoco.best_trial" in c.tags]
    assert best[-1] == "t000"
