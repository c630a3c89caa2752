"""Schedulers as Tune asks them: what they know after a resume, and what a gang cannot do."""

from dataclasses import replace

import pytest
from ray.tune.schedulers import FIFOScheduler

from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.sweepfile.scheduler_options import Scheduler
from raymoco.study.sweepfile.search_scheduler import SearchScheduler
from raymoco.study.sweepfile.sections import Objective
from raymoco.study.tune.schedulers import EvaluatedEpochs, build_scheduler
from raymoco.study.tune.trainable import ASSIGNMENT
from raymoco.testing.schedulers import tune_trial

BOTH = pytest.mark.parametrize(
    "scheduler",
    [
        Scheduler(name="asha", grace_epochs=2, reduction_factor=2),
        Scheduler(name="median", grace_epochs=2, min_trials=3),
    ],
    ids=lambda scheduler: scheduler.name,
)


@BOTH
def test_a_trial_that_goes_on_is_not_judged_again_where_it_has_been(scheduler):
    """It was the first to come so far; those that came later were better there."""
    slow = {epoch: {"epoch": epoch, "eval/knn_top1": 0.1 * epoch} for epoch in range(1, 7)}
    fast = {epoch: {"epoch": epoch, "eval/knn_top1": 0.9} for epoch in (1, 2, 3, 4)}
    ended = [TrialRecord(f"t{n}", {}, "", 0, rows=fast) for n in range(4)]
    built = build_scheduler(scheduler, Objective(), 8, ended)
    trial = tune_trial("slow", slow)
    built.on_trial_add(None, trial)
    goes_on = [{"epoch": epoch, "eval/knn_top1": 0.1 * epoch} for epoch in (7, 8)]
    assert [built.on_trial_result(None, trial, row) for row in goes_on] == ["CONTINUE"] * 2
    # and the others know how far it has come
    late = tune_trial("late")
    built.on_trial_add(None, late)
    rows = [{"epoch": epoch, "eval/knn_top1": 0.01} for epoch in (1, 2)]
    assert [built.on_trial_result(None, late, row) for row in rows] == ["CONTINUE", "STOP"]


@BOTH
def test_a_curve_that_many_later_ones_beat_can_be_read_again(scheduler):
    """Read in the order of the journal, its middle lies below what others reached later."""
    good = {epoch: {"epoch": epoch, "eval/knn_top1": 0.8} for epoch in range(1, 9)}
    bad = {epoch: {"epoch": epoch, "eval/knn_top1": 0.2} for epoch in range(1, 9)}
    ended = [TrialRecord(f"t{n}", {}, "", 0, rows=good) for n in range(4)]
    build_scheduler(scheduler, Objective(), 8, [*ended, TrialRecord("t4", {}, "", 0, rows=bad)])


@BOTH
def test_a_scheduler_of_a_resumed_sweep_knows_what_the_ended_trials_reached(scheduler):
    def decide(ended):
        built = build_scheduler(scheduler, Objective(), 8, ended)
        trial = tune_trial("new")
        built.on_trial_add(None, trial)
        rows = [{"epoch": epoch, "eval/knn_top1": 0.1} for epoch in (1, 2)]
        return [built.on_trial_result(None, trial, row) for row in rows]

    rows = {epoch: {"epoch": epoch, "eval/knn_top1": 0.5} for epoch in (1, 2)}
    ended = [TrialRecord(f"t{n}", {}, "", 0, rows=rows) for n in range(4)]
    assert decide([]) == ["CONTINUE", "CONTINUE"]
    assert decide(ended) == ["CONTINUE", "STOP"]


class Says(FIFOScheduler):
    """Always the same."""

    def __init__(self, decision):
        super().__init__()
        self.decision, self.heard = decision, []

    def on_trial_result(self, tune_controller, trial, result):
        self.heard.append(result["epoch"])
        return self.decision


class Plain(SearchScheduler):
    def build(self, options, objective, epochs):
        raise AssertionError("it is there")


@pytest.mark.parametrize(
    ("decision", "before", "last"),
    [
        ("STOP", "STOP", "CONTINUE"),
        ("PAUSE", "CONTINUE", "CONTINUE"),
        ("CONTINUE", "CONTINUE", "CONTINUE"),
    ],
)
def test_what_a_gang_cannot_do_is_held_back(decision, before, last):
    inner, trial = Says(decision), tune_trial("t000")
    asked = EvaluatedEpochs(inner, Plain(), Objective(), 3)
    asked.on_trial_add(None, trial)
    rows = [{"epoch": 1}, {"epoch": 2, "eval/knn_top1": 0.1}, {"epoch": 3, "eval/knn_top1": 0.1}]
    said = [asked.on_trial_result(None, trial, row) for row in rows]
    assert said == ["CONTINUE", before, last]
    assert inner.heard == [2, 3], "an epoch that was not evaluated is nothing to decide by"


def test_a_scheduler_hears_only_the_first_of_the_repeats_of_a_proposal():
    inner = Says("STOP")
    asked = EvaluatedEpochs(inner, Plain(), Objective(), 3)
    said = []
    for repeat in (0, 1):
        trial = tune_trial(f"t000-r{repeat}")
        trial.config[ASSIGNMENT] = replace(trial.config[ASSIGNMENT], repeat=repeat)
        asked.on_trial_add(None, trial)
        said.append(asked.on_trial_result(None, trial, {"epoch": 1, "eval/knn_top1": 0.1}))
    assert said == ["STOP", "CONTINUE"]
    assert inner.heard == [1]


def test_a_scheduler_learns_the_evaluated_epochs_of_a_trial_that_goes_on():
    inner = Says("STOP")
    asked = EvaluatedEpochs(inner, Plain(), Objective(), 9)
    rows = {1: {"epoch": 1}, 2: {"epoch": 2, "eval/knn_top1": 0.1}}
    asked.on_trial_add(None, tune_trial("t000", rows))
    assert inner.heard == [2]
