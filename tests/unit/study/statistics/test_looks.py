"""Looks: alpha is spent, and a sweep stops where every row is decided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raymoco.study.statistics.looks import spend, take_looks
from raymoco.study.statistics.paired import ALPHA
from raymoco.study.sweepfile.sections import Looks

rising = st.lists(st.integers(2, 200), min_size=2, max_size=6, unique=True).map(sorted)


@given(rising, st.sampled_from(["obrien_fleming", "bonferroni"]))
def test_the_levels_add_up_to_alpha(seeds, spending):
    levels = spend(seeds, spending)
    assert sum(levels) == pytest.approx(ALPHA)
    assert all(level >= 0 for level in levels)


def test_worked_examples():
    # two looks, half of the seeds at the first: 2 - 2 Phi(1.96 / sqrt(0.5)) = 2 - 2 Phi(2.7718)
    first, second = spend([5, 10], "obrien_fleming")
    assert first == pytest.approx(0.005575, abs=1e-6)
    assert second == pytest.approx(0.05 - 0.005575, abs=1e-6)
    assert spend([5, 10, 20], "bonferroni") == pytest.approx([0.05 / 3] * 3)
    by_then = [2 - 2 * stats.norm.cdf(1.959964 / t**0.5) for t in (0.25, 0.5, 1)]
    found = spend([5, 10, 20], "obrien_fleming")
    assert found == pytest.approx(
        [by_then[0], by_then[1] - by_then[0], by_then[2] - by_then[1]], abs=1e-6
    )


@pytest.mark.parametrize(
    ("over", "decided_at", "taken"),
    [(4, 99, []), (5, 99, [5]), (19, 99, [5, 10]), (20, 99, [5, 10, 20]), (20, 10, [5, 10])],
)
def test_looks_are_taken_in_turn_until_one_decides(over, decided_at, taken):
    looks = Looks(seeds=(5, 10, 20))
    found = take_looks(looks, over, lambda n, level: (n, level), lambda one: one[0] >= decided_at)
    assert [n for n, _ in found] == taken
    assert [level for _, level in found] == spend([5, 10, 20], "obrien_fleming")[: len(found)]
