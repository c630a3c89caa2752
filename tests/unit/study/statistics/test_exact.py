"""The sign-flip test: scipy's p, hand-worked ones, and how small it can be."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from raymoco.study.statistics.exact import (
    DRAWS,
    can_resolve,
    fewest_seeds,
    sign_flip,
    smallest_sign_flip,
)

# steps of one image of 148: they tie often
steps = st.lists(st.integers(-6, 6).map(lambda k: k / 148), min_size=2, max_size=9)
drawn = st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-6), min_size=2, max_size=9)


@settings(max_examples=60, deadline=None)
@given(steps | drawn)
def test_it_is_scipys_permutation_test_of_signs(differences):
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    assert sign_flip(differences) == pytest.approx(expected.pvalue)


def test_worked_examples():
    # means of 1, 2, 3 with signs: |6| is reached by +++ and --- alone
    assert sign_flip([1, 2, 3]) == pytest.approx(2 / 8)
    # the sum is 2: of +-1 +-1 +-2, these reach 2 in size: 4 twice, 2 twice from +1+1 alone with
    # 0 (1+1-2 = 0), and 2 from 1-1+2, -1+1+2 and their opposites
    assert sign_flip([1, -1, 2]) == pytest.approx(6 / 8)


def test_a_difference_of_nothing_has_no_sign():
    assert sign_flip([0.0, 0.0]) == 1.0
    assert sign_flip([0.0, 1e-17, 0.1, 0.2, 0.3]) == sign_flip([0.1, 0.2, 0.3]) == 0.25
    assert math.isnan(sign_flip([]))


def test_ties_that_float_rounding_hides_are_ties():
    # 0.1 + 0.2 is not 0.3 in floats: 0.1 + 0.2 - 0.3 must tie with -0.1 - 0.2 + 0.3
    assert sign_flip([0.1, 0.2, -0.3]) == 1.0


@given(st.integers(2, 20))
def test_no_p_is_smaller_than_all_seeds_agreeing(seeds):
    agree = [0.01 * (1 + s % 3) for s in range(seeds)]
    assert sign_flip(agree) == smallest_sign_flip(seeds) == 2.0 ** (1 - seeds)


def test_beyond_enumeration_it_is_drawn_with_a_fixed_seed_and_never_zero():
    rng = np.random.default_rng(1)
    twenty = list(rng.normal(0.002, 0.01, 20))
    # a twenty-first difference that weighs nothing, but has a sign: p stays near the exact one
    exact, sampled = sign_flip(twenty), sign_flip([*twenty, 1e-9])
    reach = 4 * math.sqrt(exact * (1 - exact) / DRAWS)
    assert 0.01 < exact < 0.99
    assert sampled == pytest.approx(exact, abs=reach)
    assert sampled == sign_flip([*twenty, 1e-9])
    assert sign_flip([0.1] * 40) == 1 / (1 + DRAWS)


def test_how_many_seeds_a_family_needs():
    # the smallest p of 5 seeds is 0.0625, and 8 rows under Holm need 9 seeds
    assert not can_resolve(3, 1)
    assert not can_resolve(5, 1)
    assert fewest_seeds(1) == 6
    assert fewest_seeds(8) == 9
    for rows in (1, 3, 8, 40):
        assert can_resolve(fewest_seeds(rows), rows)
        assert not can_resolve(fewest_seeds(rows) - 1, rows)
