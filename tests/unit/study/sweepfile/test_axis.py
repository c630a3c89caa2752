"""Places on an axis, to the last digit as version 0.1 had them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from raymoco.study.sweepfile.axis import Axis

AXES = [
    Axis.model_validate(axis)
    for axis in (
        {"loguniform": [0.01, 10]},
        {"loguniform": [0.1, 1], "or": 0},
        {"uniform": [-1, 3]},
        {"uniform": [0.1, 0.7], "or": 0.3},
        {"uniform": [0, 1], "step": 0.25},
        {"uniform": [0, 1], "step": 0.25, "or": 0.5},
        {"int": [3, 9], "step": 2},
        {"int": [64, 70], "or": 64},
        {"int": [1, 5], "or": 9},
        {"choice": [0.9, 0.99, 0.999]},
    )
]


def setting_of_0_1(axis, u):
    """How version 0.1 took the settings that tune the cells of an ablation."""
    if axis.or_ is not None:
        if u < 0.5:
            return axis.or_
        u = 2 * u - 1
    points = axis.points
    if points is not None:
        several = points if axis.or_ is None else points[:-1]
        return several[int(u * len(several))]
    if axis.loguniform is not None:
        log_low, log_high = (math.log(end) for end in axis.loguniform)
        return math.exp(log_low + u * (log_high - log_low))
    return axis.uniform[0] + u * (axis.uniform[1] - axis.uniform[0])


def member_of_0_1(axis, share):
    """How version 0.1 took the values of a population."""
    points = [point for point in axis.points or [] if point != axis.or_ or axis.or_ is None]
    if points:
        return points[min(int(share * len(points)), len(points) - 1)]
    low, high = axis.loguniform or axis.uniform
    if axis.loguniform:
        return min(max(low * (high / low) ** share, low), high)
    return low + (high - low) * share


@pytest.mark.parametrize("axis", AXES, ids=Axis.describe)
@given(share=st.floats(0, 1))
def test_a_share_of_an_axis_is_the_value_that_version_0_1_took(axis, share):
    assert axis.at(share) == member_of_0_1(axis, share)
    # the old one falls off the end where a share times a count is rounded up to the count
    if share < 1 - 1e-9:
        assert axis.at(share, with_or=True) == setting_of_0_1(axis, share)


def test_the_last_share_below_one_is_still_on_the_axis():
    nearly = math.nextafter(1, 0)
    assert Axis.model_validate({"choice": ["a", "b", "c"]}).at(nearly, with_or=True) == "c"


@given(share=st.floats(0, 1))
def test_a_position_on_an_axis_is_found_again(share):
    for axis in (AXES[0], AXES[2]):
        assert axis.position(axis.at(share)) == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([32, 64], "write {choice: [32, 64]} for these two, or {int: [32, 64]} for everything"),
        ([0.1, 1], "or {uniform: [0.1, 1]} for everything between"),
        (["unicon", "infonce"], "write {choice: [unicon, infonce]}"),
        ([1, 2, 3], "write {choice: [1, 2, 3]}"),
        (64, "write {choice: [64, ...]}"),
        (None, "write {choice: [None, ...]}"),
    ],
)
def test_a_value_where_an_axis_is_wanted_says_how_an_axis_is_written(value, words):
    with pytest.raises(ValidationError) as raised:
        Axis.model_validate(value)
    assert words in str(raised.value)
