"""Importance of search axes: found where it is, and not claimed from a handful of trials."""

import random

import pytest

from raymoco.study.importance import axis_importance
from raymoco.study.journal import TrialRecord
from raymoco.study.space import Axis
from raymoco.study.spec import Objective

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
