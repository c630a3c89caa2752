"""Draw and mutate the values of a population: pure functions of the random numbers."""

from __future__ import annotations

import random
from typing import Any

from raymoco.study.sweepfile.axis import Axis

STEP = 0.2  # size of a mutation, as a share of the axis


def draw(axis: Axis, numbers: random.Random) -> Any:
    """Draw a value anywhere on the axis; half of the time that of `or`, if it has one."""
    if axis.or_ is not None and numbers.random() < 0.5:
        return axis.or_
    return axis.at(numbers.random())


def mutate(axis: Axis, value: Any, numbers: random.Random, resample: float) -> Any:
    """Return a nearby value: a fifth of the axis up or down; on a finite axis, a neighbor.

    With probability `resample` it is drawn again, which is also the only way to and from `or`.
    """
    if numbers.random() < resample:
        return draw(axis, numbers)
    up = numbers.random() < 0.5
    if axis.or_ is not None and value == axis.or_:
        return value
    points = [point for point in axis.points or [] if point != axis.or_ or axis.or_ is None]
    if points:
        index = points.index(value) + (1 if up else -1)
        return points[min(max(index, 0), len(points) - 1)]
    return axis.at(min(max(axis.position(value) + (STEP if up else -STEP), 0.0), 1.0))
