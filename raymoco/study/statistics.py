"""Intervals and tests, pure: numbers in, numbers out. Two-sided throughout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

    @property
    def interval(self) -> str:
        """The difference, its interval and n, in words."""
        if math.isnan(self.p):
            return f"{self.difference:+.4f} on each of {self.n} seeds: no spread to judge by"
        return (
            f"{self.difference:+.4f}, 95 % interval {self.low:+.4f} to {self.high:+.4f}, "
            f"{self.n} seeds"
        )

    def __str__(self) -> str:
        return f"{self.interval}: {self.verdict}"


@dataclass(frozen=True)
class CellMean:
    """Mean, standard deviation (n - 1) and 95 % t-interval over seeds; nan with one seed."""

    n: int
    mean: float
    std: float
    low: float
    high: float


def cell_mean(values: Sequence[float]) -> CellMean | None:
    """The mean over seeds with its interval, or None without a value."""
    if not values:
        return None
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return CellMean(1, mean, math.nan, math.nan, math.nan)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * std / math.sqrt(n)
    return CellMean(n, mean, std, mean - reach, mean + reach)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


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
