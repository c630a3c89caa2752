"""Equivalence: whether a difference is smaller than the margin that matters (TOST)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from raymoco.study.statistics.paired import (
    ALPHA,
    MOST_SEEDS,
    POWER,
    POWER_GRID,
    PairedDifference,
    fewest,
    t_interval,
)


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided t-tests of one difference against -margin and +margin, over training seeds.

    `low` and `high` are the 90 % t-interval; `p` is the larger of the two one-sided p. p < 0.05
    exactly when the interval lies inside the margin. Without a spread there is no p: equal
    differences do not show that there is none.
    """

    margin: float
    low: float
    high: float
    p: float

    @property
    def interval(self) -> str:
        """The interval and the margin, in words."""
        return f"90 % interval {self.low:+z.4f} to {self.high:+z.4f} within ±{self.margin:g}"


def tost(found: PairedDifference | None, margin: float) -> Equivalence | None:
    """Return the two one-sided tests; None without a difference.

    Source: Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power
        approach for assessing the equivalence of average bioavailability".
    """
    if found is None:
        return None
    if not found.std > 0:
        return Equivalence(margin, found.low, found.high, math.nan)
    error = found.std / math.sqrt(found.n)
    # both say how far the nearer margin is: from -margin up, and from +margin down
    nearer = (margin - abs(found.difference)) / error
    low, high = t_interval(found.difference, found.std, found.n, 1 - 2 * ALPHA)
    return Equivalence(margin, low, high, float(special.stdtr(found.n - 1, -nearer)))


def tost_power(
    margin: float, std: float, n: int, alpha: float = ALPHA, difference: float = 0.0
) -> float:
    """Return the probability that TOST over n >= 2 pairs calls a difference negligible.

    Given the estimated spread s, the mean must lie within margin - t s / sqrt(n) of 0; the mean is
    normal and independent of s, so the normal probability is averaged over s, on the same grid as
    `paired_power`.

    Args:
        margin: smaller differences do not matter.
        std: the true standard deviation of the differences.
        alpha: level of each of the two tests.
        difference: the true mean difference.
    Source: the same integral as Owen's Q: Phillips 1990, "Power of the two one-sided tests
        procedure in bioequivalence".
    """
    critical = stats.t.isf(alpha, n - 1)
    spread = np.sqrt(stats.chi2.ppf(POWER_GRID, n - 1) / (n - 1))
    room = math.sqrt(n) * margin / std - critical * spread
    shift = math.sqrt(n) * difference / std
    inside = stats.norm.cdf(room - shift) - stats.norm.cdf(-room - shift)
    return float(np.where(room > 0, inside, 0.0).mean())


def seeds_for_negligible(
    found: PairedDifference, margin: float, alpha: float = ALPHA, difference: float = 0.0
) -> int | None:
    """Return how many seeds TOST needs to call a difference negligible with 80 % power.

    Args:
        found: its spread is assumed to be the true one, a rough guess with few seeds.
        margin: smaller differences do not matter.
        alpha: level of the test; in a family of m rows Holm requires ALPHA / m for the first.
        difference: the true one: 0, or the observed one.
    Returns:
        None without a spread, for a difference that is not inside the margin, and if more than
            MOST_SEEDS would be needed.
    """
    if not found.std > 0 or abs(difference) >= margin:
        return None
    return fewest(
        lambda n: tost_power(margin, found.std, n, alpha, difference) >= POWER, MOST_SEEDS
    )
