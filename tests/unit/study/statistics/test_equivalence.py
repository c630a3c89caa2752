"""TOST: scipy's two one-sided tests, and how many seeds it needs."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats

from raymoco.study.statistics.effects import Contrast
from raymoco.study.statistics.equivalence import seeds_for_negligible, tost, tost_power
from raymoco.study.statistics.judged import LATE_MARGIN, LOST_PAIRS, NO_LOOK, judge
from raymoco.study.statistics.paired import holm, mean_difference


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12), st.floats(0.01, 1))
def test_p_is_the_larger_of_scipys_one_sided_tests(differences, margin):
    assume(max(differences) - min(differences) > 1e-6)
    found = tost(mean_difference(differences), margin)
    lower = stats.ttest_1samp(differences, -margin, alternative="greater")
    upper = stats.ttest_1samp(differences, margin, alternative="less")
    assert found.p == pytest.approx(max(lower.pvalue, upper.pvalue), rel=1e-6, abs=1e-12)
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx(tuple(interval), rel=1e-6, abs=1e-9)
    if abs(found.p - 0.05) > 1e-6:
        assert (found.p < 0.05) == (-margin < found.low and found.high < margin)


def test_a_worked_example():
    # differences -1, 0, 1 (x 0.01): mean 0, standard error 0.01 / sqrt(3); t(0.95, 2) = 2.9200
    found = tost(mean_difference([-0.01, 0.0, 0.01]), 0.02)
    assert found.high == pytest.approx(2.91998558 * 0.01 / math.sqrt(3))
    # t = 0.02 / (0.01 / sqrt(3)) = 3.4641; with 2 degrees p = (1 - t / sqrt(2 + t^2)) / 2
    assert found.p == pytest.approx((1 - 3.4641016 / math.sqrt(14)) / 2, rel=1e-6)


def test_without_a_spread_there_is_no_p():
    assert math.isnan(tost(mean_difference([0.25, 0.25]), 1).p)
    assert math.isnan(tost(mean_difference([0.0, 0.0]), 1).p)
    assert tost(mean_difference([0.1]), 1) is None


@pytest.mark.parametrize(
    ("margin", "n", "difference"), [(1.0, 5, 0.0), (0.8, 12, 0.2), (0.5, 40, -0.1), (2.0, 3, 0.0)]
)
def test_power_is_owens_integral(margin, n, difference):
    critical = stats.t.isf(0.05, n - 1)

    def given_spread(s):  # of the estimated spread s: chi with n - 1 degrees, scaled
        room = math.sqrt(n) * margin - critical * s
        if room <= 0:
            return 0.0
        shift = math.sqrt(n) * difference
        inside = stats.norm.cdf(room - shift) - stats.norm.cdf(-room - shift)
        return inside * stats.chi.pdf(s * math.sqrt(n - 1), n - 1) * math.sqrt(n - 1)

    expected, _ = integrate.quad(given_spread, 0, math.sqrt(n) * margin / critical)
    assert tost_power(margin, 1.0, n, difference=difference) == pytest.approx(expected, abs=1e-3)


def test_power_is_how_often_it_is_called_negligible():
    rng = np.random.default_rng(0)
    values = rng.normal(0.1, 1, size=(20_000, 12))
    error = values.std(axis=1, ddof=1) / math.sqrt(12)
    p = stats.t.sf((1.0 - abs(values.mean(axis=1))) / error, 11)
    assert tost_power(1.0, 1.0, 12, difference=0.1) == pytest.approx((p < 0.05).mean(), abs=0.01)
    # at the margin itself it is the error of the test, at most 5 %
    assert tost_power(1.0, 1.0, 12, difference=1.0) <= 0.05


def test_the_seeds_needed_have_the_power_and_one_less_has_not():
    found = mean_difference([-0.004, 0.009, 0.001, 0.002])
    for difference in (0.0, found.difference):
        n = seeds_for_negligible(found, 0.006, 0.05, difference)
        assert tost_power(0.006, found.std, n, difference=difference) >= 0.8
        assert tost_power(0.006, found.std, n - 1, difference=difference) < 0.8
    assert seeds_for_negligible(found, 0.006, 0.05, 0.006) is None
    assert seeds_for_negligible(found, 1e-6) is None


SCORES = {
    "base": {0: 0.50, 1: 0.52, 2: 0.54, 3: 0.56},
    "near": {0: 0.501, 1: 0.519, 2: 0.5405, 3: 0.5595},
    "better": {0: 0.60, 1: 0.622, 2: 0.641, 3: 0.66},
}
CONTRASTS = [Contrast(name, {}, {}, {name: 1.0, "base": -1.0}) for name in ("near", "better")]


def judged(failed=None, **more):
    rows = judge(CONTRASTS, SCORES, failed or {}, higher=True, **more)
    return {row.name: row for row in rows}


def test_equivalence_is_a_family_of_its_own_and_negligible_goes_by_its_adjusted_p():
    rows = judged(margin=0.01)
    raw = [row.equivalence.p for row in rows.values()]
    assert [row.p_tost_holm for row in rows.values()] == holm(raw)
    assert {name: row.verdict for name, row in rows.items()} == {
        "near": "negligible",
        "better": "helps",
    }
    assert "90 % interval" in rows["near"].words
    assert "within ±0.01" in rows["near"].words
    # alone it passes, beside another row it does not
    lone = judge(CONTRASTS[:1], SCORES, {}, higher=True, margin=0.0012)[0]
    assert lone.equivalence.p < 0.05 < 2 * lone.equivalence.p
    assert lone.verdict == "negligible"
    assert judged(margin=0.0012)["near"].verdict == "not resolved"


def test_a_resolved_difference_inside_the_margin_is_negligible():
    assert judged(margin=0.2)["better"].verdict == "negligible"


def test_a_lost_pair_keeps_negligible_back_and_says_so():
    row = judged({"near": {4}}, margin=0.01)["near"]
    assert (row.verdict, row.withheld) == ("not resolved", LOST_PAIRS)
    assert LOST_PAIRS in row.words
    assert "1 pair lost" in row.words


def test_a_margin_that_came_later_is_tested_and_decides_nothing():
    rows = judged(margin=0.2, calls_negligible=False)
    assert [row.verdict for row in rows.values()] == ["not resolved", "helps"]
    assert rows["near"].withheld == rows["better"].withheld == LATE_MARGIN
    assert rows["near"].equivalence == judged(margin=0.2)["near"].equivalence


def test_before_a_look_nothing_is_decided():
    rows = judged(margin=0.01, decides=False)
    assert [(row.verdict, row.withheld) for row in rows.values()] == [
        ("not resolved", NO_LOOK)
    ] * 2  # fmt: skip


def test_what_is_not_resolved_says_how_many_seeds_would_call_it_negligible():
    row = judged(margin=0.0012)["near"]
    by_zero, as_observed = row.seeds_for_negligible
    assert by_zero == seeds_for_negligible(row.difference, 0.0012, row.level / 2)
    assert as_observed >= by_zero
    assert f"about {by_zero} to call it negligible if the true difference is 0" in row.words
