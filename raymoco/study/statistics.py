"""Intervals and tests, pure: numbers in, numbers out. Two-sided throughout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class PairedDifference:
    """The mean difference a - b over n seeds, its 95 % t-interval and the paired t-test's p."""

    n: int
    difference: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> str:
        """`helps`, `hurts`, `identical` or `not resolved`, at p < 0.05."""
        if self.p == 1 and self.low == self.high == 0:
            return "identical"
        if self.p < 1 - LEVEL:
            return "helps" if self.difference > 0 else "hurts"
        return "not resolved"

    def __str__(self) -> str:
        if math.isnan(self.p):
            return (
                f"{self.difference:+.4f} on each of {self.n} seeds, so there is no spread to judge "
                f"it by: {self.verdict}"
            )
        return (
            f"{self.difference:+.4f}, 95 % interval {self.low:+.4f} to {self.high:+.4f}, "
            f"{self.n} seeds: {self.verdict}"
        )


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> PairedDifference | None:
    """Compare two cells over the seeds that both finished.

    Args:
        a: value by seed, of the cell in question.
        b: value by seed, of the baseline.
    Returns:
        The difference a - b, or None with fewer than two common seeds: one pair has no interval.
    """
    seeds = sorted(set(a) & set(b))
    if len(seeds) < 2:
        return None
    differences = [a[seed] - b[seed] for seed in seeds]
    n = len(differences)
    mean = math.fsum(differences) / n
    variance = math.fsum((d - mean) ** 2 for d in differences) / (n - 1)
    error = math.sqrt(variance / n)
    if max(differences) == min(differences) == 0:
        return PairedDifference(n, 0.0, 0.0, 0.0, 1.0)
    if error <= 1e-12:
        # accuracies come in steps of one image; equal steps do not mean that there is no spread
        return PairedDifference(n, mean, math.nan, math.nan, math.nan)
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return PairedDifference(n, mean, mean - reach, mean + reach, p)
