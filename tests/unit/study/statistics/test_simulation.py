"""A short run of `python -m benchmarks statistics`: errors are as rare as promised."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics import (
    MARGIN,
    contrasts,
    drawn_difference,
    simulated,
    wrongly_at_any_look,
    wrongly_resolved,
)
from raymoco.study.statistics.items import item_interval
from raymoco.study.statistics.judged import judge
from raymoco.study.statistics.paired import mean_difference
from raymoco.study.sweepfile.sections import Looks

ROUNDS = 600


def seldom(count, promised=0.05):
    """Whether so many of the rounds are what a share of `promised` or less gives."""
    return stats.binomtest(count, ROUNDS, promised, alternative="greater").pvalue > 0.001


def test_a_share_that_is_too_large_would_be_seen():
    assert seldom(30)
    assert not seldom(60)


@pytest.mark.parametrize("name", ["normal", "heavy tails", "whole images", "skewed alike"])
def test_where_no_cell_differs_few_families_of_four_hold_a_verdict(name):
    family = contrasts(4)
    wrong = sum(
        wrongly_resolved(judge(family, scores, {}, higher=True))
        for scores in simulated(name, 4, 5, ROUNDS)
    )
    assert seldom(wrong)


def test_at_the_margin_few_are_called_negligible():
    wrong = sum(
        judge(contrasts(1), scores, {}, higher=True, margin=MARGIN)[0].verdict == "negligible"
        for scores in simulated("normal", 1, 8, ROUNDS, shift=MARGIN)
    )
    assert wrong > 0
    assert seldom(wrong)


@pytest.mark.parametrize("spending", ["obrien_fleming", "bonferroni"])
def test_looks_on_the_way_make_no_more_errors(spending):
    looks = Looks(seeds=(4, 8), spending=spending)
    wrong = sum(
        wrongly_at_any_look(contrasts(2), scores, looks)
        for scores in simulated("normal", 2, 8, ROUNDS)
    )
    assert seldom(wrong)


def test_about_95_of_100_intervals_hold_the_truth():
    held = sum(
        row.difference.low <= 0 <= row.difference.high
        for scores in simulated("normal", 1, 5, ROUNDS)
        for row in judge(contrasts(1), scores, {}, higher=True)
    )
    assert stats.binomtest(held, ROUNDS, 0.95).pvalue > 0.001


def test_intervals_over_seeds_and_images_hold_the_truth_where_those_over_seeds_do_not():
    rng, rounds = np.random.default_rng(0), 200
    alone = both = 0
    for _ in range(rounds):
        d_SI = drawn_difference(rng, 10, 2.0)
        seeds, items = mean_difference(list(d_SI.mean(1))), item_interval(d_SI)
        alone += seeds.low <= 0 <= seeds.high
        both += items.low <= 0 <= items.high
    assert stats.binomtest(both, rounds, 0.95).pvalue > 0.001
    assert alone < 0.8 * rounds
