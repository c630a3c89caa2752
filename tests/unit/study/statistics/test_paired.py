import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from raymoco.engine.reach import binomial_reach
from raymoco.study.journal.ranking import undominated
from raymoco.study.statistics.paired import (
    PairedDifference,
    best_so_far,
    cell_mean,
    mean_difference,
    paired_difference,
    paired_power,
    seeds_needed,
    verdict,
)

values = st.lists(st.floats(0, 1), min_size=2, max_size=12)


@given(a=values, data=st.data())
def test_the_interval_and_p_are_scipys(a, data):
    b = data.draw(st.lists(st.floats(0, 1), min_size=len(a), max_size=len(a)))
    differences = [x - y for x, y in zip(a, b, strict=True)]
    assume(max(differences) - min(differences) > 1e-6)
    found = paired_difference(dict(enumerate(a)), dict(enumerate(b)))
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert found.difference == pytest.approx(sum(differences) / len(a), abs=1e-12)
    assert found.p == pytest.approx(float(expected.pvalue), rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(
        (interval.low, interval.high), rel=1e-6, abs=1e-9
    )


def test_a_worked_example():
    # differences 0.02, 0.04, 0.06: mean 0.04, standard error 0.02/sqrt(3), t(0.975, 2) = 4.3027
    found = paired_difference({1: 0.92, 2: 0.94, 3: 0.96}, {1: 0.90, 2: 0.90, 3: 0.90})
    reach = 4.302652729911275 * 0.02 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.04 - reach, 0.04 + reach))
    assert found.verdict == "not resolved"


@given(a=values, shift=st.floats(-1, 1))
def test_a_shift_of_both_cells_changes_no_difference(a, shift):
    b = [0.5] * len(a)
    plain = paired_difference(dict(enumerate(a)), dict(enumerate(b)))
    moved = paired_difference(
        {i: x + shift for i, x in enumerate(a)}, {i: x + shift for i, x in enumerate(b)}
    )
    assert moved.difference == pytest.approx(plain.difference, abs=1e-9)


def test_only_common_seeds_count_and_one_pair_has_no_interval():
    found = paired_difference({1: 0.9, 2: 0.8, 9: 0.1}, {1: 0.8, 2: 0.8, 7: 0.9})
    assert found.n == 2
    assert paired_difference({1: 0.9}, {1: 0.8}) is None


def test_equal_cells_are_identical_and_equal_differences_resolve_nothing():
    same = paired_difference({1: 0.9, 2: 0.8}, {1: 0.9, 2: 0.8})
    assert (same.verdict, same.p) == ("identical", 1.0)
    # accuracies come in steps of one image: two equal steps say nothing about their spread
    stepped = paired_difference({1: 0.875, 2: 0.75}, {1: 0.75, 2: 0.625})
    assert stepped.verdict == "not resolved"
    assert math.isnan(stepped.low)


@pytest.mark.parametrize(
    ("size", "alpha", "seeds"),
    # what G*Power and statsmodels' TTestPower say of a two-sided paired t-test at 80 % power
    [(0.2, 0.05, 199), (0.5, 0.05, 34), (0.8, 0.05, 15), (1.0, 0.05, 10), (0.5, 0.01, 51)],
)
def test_the_seeds_that_would_resolve_a_difference_are_those_of_the_tables(size, alpha, seeds):
    found = PairedDifference(5, size * 0.01, 0, 0, 0.5, 0.01)
    assert seeds_needed(found, alpha) == seeds
    assert paired_power(size, seeds, alpha) >= 0.8 > paired_power(size, seeds - 1, alpha)


def test_power_is_how_often_the_test_finds_the_effect():
    rng = np.random.default_rng(0)
    drawn = rng.normal(0.7, 1, size=(20_000, 9))
    p = stats.ttest_1samp(drawn, 0, axis=1).pvalue
    assert paired_power(0.7, 9) == pytest.approx((p < 0.05).mean(), abs=0.01)
    assert paired_power(0.0, 9) == pytest.approx(0.05, abs=1e-4)
    assert paired_power(0.7, 9) == pytest.approx(
        stats.nct.sf(stats.t.isf(0.025, 8), 8, 2.1) + stats.nct.cdf(-stats.t.isf(0.025, 8), 8, 2.1),
        abs=1e-4,
    )


def test_no_number_of_seeds_resolves_nothing():
    assert seeds_needed(mean_difference([0.1, -0.1])) is None
    assert seeds_needed(mean_difference([0.0, 0.0])) is None
    assert seeds_needed(mean_difference([1e-4, -1e-4, 1e-6])) is None


@given(values)
def test_the_order_of_seeds_changes_nothing(drawn):
    forward, backward = mean_difference(drawn), mean_difference(drawn[::-1])
    assert forward.verdict == backward.verdict
    assert forward.difference == pytest.approx(backward.difference, abs=1e-15)
    assert cell_mean(drawn) == cell_mean(drawn[::-1])


@given(a=values, data=st.data())
def test_swapping_the_cells_turns_helps_into_hurts(a, data):
    b = data.draw(st.lists(st.floats(0, 1), min_size=len(a), max_size=len(a)))
    found = paired_difference(dict(enumerate(a)), dict(enumerate(b)))
    other = paired_difference(dict(enumerate(b)), dict(enumerate(a)))
    turned = {"helps": "hurts", "hurts": "helps"}
    assert other.verdict == turned.get(found.verdict, found.verdict)
    assert verdict(found, found.p, higher=False) == turned.get(found.verdict, found.verdict)


def test_the_verdict_goes_by_the_adjusted_p_and_knows_what_it_may_not_say():
    clear = mean_difference([0.10, 0.11, 0.12, 0.09])
    assert verdict(clear, 0.01) == "helps"
    assert verdict(clear, 0.01, higher=False) == "hurts"
    assert verdict(clear, 0.06) == "not resolved"
    # what fails where it does badly looks good in the rest
    assert verdict(clear, 0.01, failed=1) == "not resolved"
    assert verdict(clear, 0.01, higher=False, failed=1) == "hurts"
    assert verdict(None, math.nan) == "not resolved"


def test_negligible_goes_by_the_adjusted_tost_and_comes_before_helps():
    found = mean_difference([0.010, 0.011, 0.012, 0.009])
    assert verdict(found, found.p) == "helps"
    assert verdict(found, found.p, p_tost=0.04) == "negligible"
    assert verdict(found, found.p, p_tost=0.06) == "helps"
    assert verdict(found, 0.5, p_tost=0.06) == "not resolved"
    # a cell that fails where it does badly may look as if it did nothing
    assert verdict(found, found.p, p_tost=0.04, failed=1) == "not resolved"
    assert verdict(found, found.p, p_tost=0.04, failed=1, higher=False) == "hurts"


def test_at_a_look_both_families_are_judged_at_its_level():
    found = mean_difference([0.010, 0.011, 0.012, 0.009])
    assert verdict(found, 0.02, level=0.03) == "helps"
    assert verdict(found, 0.02, level=0.02) == "not resolved"
    assert verdict(found, 0.5, p_tost=0.02, level=0.03) == "negligible"
    assert verdict(found, 0.5, p_tost=0.02, level=0.02) == "not resolved"


def test_differences_that_are_only_rounding_are_identical():
    assert mean_difference([1e-17, 0.0, -2e-16]).verdict == "identical"


def test_the_binomial_reach_of_a_worked_example():
    # 0.9 of 100 images: 1.96 / 1.0384 * sqrt(0.0009 + 0.000096) = 0.0596
    assert binomial_reach(0.9, 100) == pytest.approx(0.0596, abs=1e-4)
    assert binomial_reach(0.9, 10_000) == pytest.approx(0.00588, abs=1e-5)


def test_an_accuracy_of_one_is_not_known_exactly():
    # half of 1.96^2 / N / (1 + 1.96^2 / N)
    assert binomial_reach(1.0, 148) == pytest.approx(0.01265, abs=1e-5)
    assert binomial_reach(0.0, 148) == binomial_reach(1.0, 148)


@given(images=st.integers(1, 2000), data=st.data())
def test_the_binomial_reach_is_half_of_scipys_wilson_interval(images, data):
    right = data.draw(st.integers(0, images))
    expected = stats.binomtest(right, images).proportion_ci(0.95, method="wilson")
    half = (expected.high - expected.low) / 2
    assert binomial_reach(right / images, images) == pytest.approx(half, rel=1e-6)


def test_best_so_far_never_falls_back():
    assert best_so_far([0.5, 0.4, 0.7, 0.6]) == [0.5, 0.5, 0.7, 0.7]
    assert best_so_far([0.5, 0.4, 0.7], higher=False) == [0.5, 0.4, 0.4]
    assert best_so_far([]) == []


def test_a_pareto_front_of_a_worked_example():
    # accuracy up, seconds down: the third is beaten by the first, twins stay together
    points = [(0.9, 10), (0.8, 5), (0.85, 12), (0.95, 20), (0.8, 5)]
    assert undominated(points, [True, False]) == [0, 1, 3, 4]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_every_point_off_the_front_is_beaten_by_one_on_it(points):
    front = undominated(points, [True, True])

    def beats(a, b):
        return a != b and a[0] >= b[0] and a[1] >= b[1]

    for index, point in enumerate(points):
        beaten = any(beats(points[other], point) for other in front)
        assert beaten == (index not in front)
