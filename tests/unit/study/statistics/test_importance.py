"""Importance of search axes: found where it is, and not claimed from a handful of trials."""

import random
import subprocess
import sys

import optuna
import pytest

from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.statistics.importance import FEWEST, TOP_TRIALS, axis_importance
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.sections import Objective
from tests.written_sweeps import write_search

AXES = {
    "method.temperature": Axis(loguniform=(0.05, 0.5)),
    "method.queue_size": Axis(choice=[64, 128, 256]),
    "method.cross_consistency.weight": Axis(loguniform=(0.01, 10), or_=0),
}


def trials(count, score, state="completed"):
    draw = random.Random(0)
    made = []
    for number in range(count):
        values = {
            "method.temperature": draw.uniform(0.05, 0.5),
            "method.queue_size": draw.choice([64, 128, 256]),
            "method.cross_consistency.weight": draw.choice([0, draw.uniform(0.01, 10)]),
        }
        rows = {1: {"epoch": 1, "eval/knn_top1": score(values)}}
        made.append(TrialRecord(f"t{number:03d}", values, "", 0, state=state, rows=rows))
    return made


def by_temperature(values):
    return 1 - (values["method.temperature"] - 0.2) ** 2


def test_the_axis_that_matters_comes_first_with_an_interval_around_its_share():
    found = axis_importance(trials(40, by_temperature), AXES, Objective(), resamples=40)
    assert found[0].axis == "method.temperature"
    assert found[0].share > 0.5
    assert sum(one.share for one in found) == pytest.approx(1)
    for one in found:
        assert 0 <= one.low <= one.high <= 1
    again = axis_importance(trials(40, by_temperature)[::-1], AXES, Objective(), resamples=40)
    assert again == found, "neither chance nor the order of trials decides"


def test_a_loss_is_better_when_smaller():
    objective = Objective(metric="train/loss", mode="min")
    records = trials(40, by_temperature)
    for record in records:
        record.rows[1]["train/loss"] = -record.rows[1]["eval/knn_top1"]
    up = axis_importance(records, AXES, Objective(), resamples=5)
    down = axis_importance(records, AXES, objective, resamples=5)
    assert [one.share for one in up] == [one.share for one in down]


def test_too_few_completed_trials_have_no_importance():
    assert axis_importance(trials(19, by_temperature), AXES, Objective()) is None
    assert axis_importance(trials(40, by_temperature, "pruned"), AXES, Objective()) is None


def test_where_all_scores_are_equal_no_axis_has_a_share():
    assert axis_importance(trials(40, lambda values: 0.9), AXES, Objective()) is None


def test_a_resample_whose_best_are_no_others_than_all_gives_no_axis_a_share():
    records = trials(FEWEST, lambda values: 0.9)
    for record in records[TOP_TRIALS:]:
        record.rows[1]["eval/knn_top1"] = 0.1
    found = axis_importance(records, AXES, Objective(), resamples=40)
    assert sum(one.share for one in found) == pytest.approx(1)
    assert all(one.low == 0 for one in found), "many a resample has fewer than five of the best"


def test_optuna_is_as_talkative_afterwards_as_before():
    before = optuna.logging.get_verbosity()
    try:
        optuna.logging.set_verbosity(optuna.logging.INFO)
        axis_importance(trials(20, by_temperature), AXES, Objective(), resamples=1)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(before)


def test_nothing_is_said_on_the_way(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from raymoco.study.report.findings import read_findings\n"
        "assert read_findings(Path(sys.argv[1])).importance"
    )
    command = [sys.executable, "-c", script, str(write_search(tmp_path / "found"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
