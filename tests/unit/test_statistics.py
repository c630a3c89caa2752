import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from raymoco.study.statistics import paired_difference

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
