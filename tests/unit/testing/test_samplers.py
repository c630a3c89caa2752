"""The suite of samplers finds what it is there to find; ours pass in test_optuna_study.py."""

import itertools
import sys
from pathlib import Path

import optuna
import pytest

from raymoco.choices import SAMPLERS
from raymoco.errors import ConfigError
from raymoco.study.sweepfile.search_sampler import SearchSampler
from raymoco.testing import check_sampler
from tests.unit.study.proposals import test_optuna_study

THEIRS = Path(__file__).parents[2] / "fixtures" / "theirs"
COUNT = itertools.count()


class Forgetful(SearchSampler):
    """Draws something else each time."""

    def build(self, options, trial):
        return optuna.samplers.RandomSampler(seed=next(COUNT))


class Repeats(SearchSampler):
    """Takes the seed of the search for that of the trial."""

    def build(self, options, trial):
        return optuna.samplers.RandomSampler(seed=trial.seed)


class Overstates(SearchSampler):
    """Learns from ends that it is never told."""

    def build(self, options, trial):
        return optuna.samplers.RandomSampler(seed=trial.trial_seed)

    def learns_from(self, options):
        return ("failed",)


def test_every_sampler_of_ours_runs_through_the_suite():
    assert {s.name for s in test_optuna_study.SAMPLERS} == set(SAMPLERS.choices)


def test_a_sampler_from_outside_passes(monkeypatch):
    monkeypatch.syspath_prepend(str(THEIRS))
    check_sampler("mylab_search:Evolution", {"population_size": 3})
    with pytest.raises(ConfigError, match=r"sampler\.options\.population_size is 1"):
        check_sampler("mylab_search:Evolution", {"population_size": 1})
    sys.modules.pop("mylab_search")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Forgetful", "the same seed proposed"),
        ("Repeats", "of 62 draws only 12 differ"),
        ("Overstates", "learns_from names {'failed'}"),
    ],
)
def test_a_sampler_that_breaks_a_promise_is_found(name, words):
    with pytest.raises(AssertionError, match=words):
        check_sampler(f"{__name__}:{name}")
