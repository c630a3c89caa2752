"""Ours keep what every scheduler must, and the suite finds what it is there to find."""

import sys
from pathlib import Path

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from raymoco.choices import SCHEDULERS
from raymoco.errors import ConfigError
from raymoco.study.sweepfile.search_scheduler import SearchScheduler
from raymoco.testing import check_scheduler

THEIRS = Path(__file__).parents[2] / "fixtures" / "theirs"
OURS = [
    ("asha", {"grace_epochs": 1, "reduction_factor": 2}),  # its last rung is the last epoch
    ("asha", {"grace_epochs": 2, "reduction_factor": 3}),
    ("median", {"grace_epochs": 2, "min_trials": 2}),
    ("none", {}),
]


def asha(mode, **more):
    return AsyncHyperBandScheduler(
        time_attr="epoch", mode=mode, max_t=8, grace_period=1, reduction_factor=2, **more
    )


class OneWay(SearchScheduler):
    """Takes more for better, whatever it is."""

    def build(self, options, objective, epochs):
        return asha("max", metric=objective.metric, stop_last_trials=False)


class Forgets(SearchScheduler):
    """Knows nothing of an earlier driver."""

    def build(self, options, objective, epochs):
        return asha(objective.mode, metric=objective.metric, stop_last_trials=False)

    def learn(self, scheduler, trial, rows):
        pass


class OfAnother(FIFOScheduler):
    def on_trial_result(self, tune_controller, trial, result):
        return "NOOP"


class Foreign(SearchScheduler):
    """Says what only Tune itself understands."""

    def build(self, options, objective, epochs):
        return OfAnother()


@pytest.mark.parametrize(("name", "said"), OURS)
def test_a_scheduler_of_ours_keeps_what_every_scheduler_must(name, said):
    check_scheduler(name, said)


def test_every_scheduler_of_ours_runs_through_the_suite():
    tuned = {name for name, choice in SCHEDULERS.choices.items() if not choice.population}
    assert {name for name, _ in OURS} == tuned


def test_a_scheduler_from_outside_passes(monkeypatch):
    monkeypatch.syspath_prepend(str(THEIRS))
    check_scheduler("mylab_search:Patience", {"options": {"epochs": 2}})
    with pytest.raises(ConfigError, match=r"scheduler\.options\.epochs is missing"):
        check_scheduler("mylab_search:Patience")
    sys.modules.pop("mylab_search")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("OneWay", r"is the best so far at every epoch \(train/loss, min\)"),
        ("Forgets", "an undisturbed one said"),
        ("Foreign", "it says NOOP of t000 at epoch 1"),
    ],
)
def test_a_scheduler_that_breaks_a_promise_is_found(name, words):
    with pytest.raises(AssertionError, match=words):
        check_scheduler(f"{__name__}:{name}")
