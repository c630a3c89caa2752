"""Intervals, two-sided tests and verdicts, as pure functions of numbers.

docs/ablations.md explains each formula and what its interval covers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special, stats

LEVEL = 0.95
ALPHA = 1 - LEVEL
POWER = 0.8
POWER_GRID = (np.arange(2000) + 0.5) / 2000
MOST_SEEDS = 1000  # beyond this nobody will train: "more than 1,000" is enough
ROUNDING = 1e-12  # differences of float accuracies that are equal in images


@dataclass(frozen=True)
class PairedDifference:
    """The mean of n paired differences, its 95 % t-interval and the paired t-test's p.

    `seeds` is the number of seeds where n counts tunings, the means over whose seeds are compared.
    `std` is the standard deviation (n - 1) of the differences. Equal differences other than 0 have
    no interval and no p: accuracies change in steps of one image, and two equal steps do not show
    that there is no spread.
    """

    n: int
    difference: float
    low: float
    high: float
    p: float
    std: float = math.nan
    seeds: int | None = None

    @property
    def size(self) -> str:
        """What n counts, in words: `5 seeds`, `6 seeds in 3 tunings`."""
        return (
            f"{self.n} seeds" if self.seeds is None else f"{self.seeds} seeds in {self.n} tunings"
        )

    @property
    def unit(self) -> str:
        """What n counts: seeds, or tunings."""
        return "seeds" if self.seeds is None else "tunings"

    @property
    def verdict(self) -> str:
        """`helps`, `hurts`, `identical` or `not resolved`, if this is the only comparison."""
        return verdict(self, self.p)

    @property
    def reach(self) -> float:
        """Half the interval."""
        return (self.high - self.low) / 2

    @property
    def interval(self) -> str:
        """The difference, its interval and n, in words."""
        if math.isnan(self.p):
            return f"{self.difference:+z.4f} on each of {self.n} {self.unit}: no spread to judge by"
        return (
            f"{self.difference:+z.4f}, 95 % interval {self.low:+z.4f} to {self.high:+z.4f}, "
            f"{self.size}"
        )

    def __str__(self) -> str:
        return f"{self.interval}: {self.verdict}"


@dataclass(frozen=True)
class CellMean:
    """Mean, standard deviation (n - 1) and 95 % t-interval over seeds; nan with one seed.

    With several tunings all of them are over the means per tuning; `seeds` is the number of seeds.
    """

    n: int
    mean: float
    std: float
    low: float
    high: float
    seeds: int | None = None

    @property
    def size(self) -> str:
        """What n counts, for a table: `5`, `6 in 3 tunings`."""
        return str(self.n) if self.seeds is None else f"{self.seeds} in {self.n} tunings"


def means_per_tuning(
    values: Mapping[int, float], tuning_of: Mapping[int, int] | None
) -> list[float]:
    """Return the independent values of a cell or contrast: by seed, or the mean of each tuning.

    Seeds that share a tuning share its luck, so they are no independent repetitions: their mean
    counts once.

    Args:
        values: by seed; a tuning of which some seeds are missing counts with the others.
        tuning_of: the tuning of each seed; None: there are not several, and each seed counts.
    """
    if tuning_of is None:
        return list(values.values())
    found: dict[int, list[float]] = {}
    for seed, value in values.items():
        found.setdefault(tuning_of[seed], []).append(value)
    return [statistics.fmean(group) for group in found.values()]


def cell_mean(values: Sequence[float]) -> CellMean | None:
    """Return the mean over seeds with its interval, or None without a value."""
    if not values:
        return None
    n, mean, std = len(values), statistics.fmean(values), math.nan
    if n == 1:
        return CellMean(1, mean, std, math.nan, math.nan)
    std = statistics.stdev(values)
    return CellMean(n, mean, std, *t_interval(mean, std, n))


def mean_difference(differences: Sequence[float]) -> PairedDifference | None:
    """Return mean, interval and t-test against 0 of the differences of n seeds.

    Returns:
        None with fewer than two, because one difference has no interval.
    """
    n = len(differences)
    if n < 2:
        return None
    if all(abs(difference) <= ROUNDING for difference in differences):
        return PairedDifference(n, 0.0, 0.0, 0.0, 1.0, 0.0)
    mean, std = statistics.fmean(differences), statistics.stdev(differences)
    if std / math.sqrt(n) <= ROUNDING:
        return PairedDifference(n, mean, math.nan, math.nan, math.nan, 0.0)
    # as scipy's ttest_1samp, which takes many times as long: a bench judges 1e5 families
    p = 2 * float(special.stdtr(n - 1, -abs(mean) / (std / math.sqrt(n))))
    return PairedDifference(n, mean, *t_interval(mean, std, n), p, std)


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> PairedDifference | None:
    """Compare two cells over the seeds that both have finished.

    Args:
        a: value by seed, of the compared cell.
        b: value by seed, of the baseline.
    Returns:
        The difference a - b, or None with fewer than two common seeds.
    """
    return mean_difference([a[seed] - b[seed] for seed in sorted(set(a) & set(b))])


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the given order.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def verdict(
    found: PairedDifference | None,
    p_holm: float,
    *,
    higher: bool = True,
    failed: int = 0,
    p_tost: float = math.nan,
    level: float = ALPHA,
) -> str:
    """Return `helps`, `hurts`, `not resolved`, `identical` or `negligible`.

    Args:
        found: the difference; None: too few pairs.
        p_holm: its p-value, adjusted over its family.
        higher: whether a higher metric is better.
        failed: the number of pairs lost to failed trials; if any was lost, nothing `helps` or is
            `negligible`: a cell that fails where it does badly would look good in the remaining
            pairs.
        p_tost: the larger p of the two one-sided tests against the margin, adjusted over its
            family; nan: there is no margin, or it may not decide.
        level: of both families, smaller than ALPHA at a look.
    Returns:
        `negligible` also where the difference is resolved: the margin says that it does not matter.
    """
    if found is None:
        return "not resolved"
    if found.low == found.high == 0:
        return "identical"
    if p_tost < level and not failed:
        return "negligible"
    if math.isnan(p_holm) or p_holm >= level:
        return "not resolved"
    better = (found.difference > 0) == higher
    if better and failed:
        return "not resolved"
    return "helps" if better else "hurts"


def seeds_needed(found: PairedDifference, alpha: float = ALPHA) -> int | None:
    """Return how many seeds a two-sided paired t-test needs to detect this difference.

    Args:
        found: its mean and spread are assumed to be the true ones, a rough guess with few seeds.
        alpha: level of the test; in a family of m rows Holm requires ALPHA / m for the first.
    Returns:
        The smallest n whose power is at least 0.8; None if there is no difference, no spread, or if
            more than MOST_SEEDS would be needed.
    Source: the power of the t-test by the noncentral t distribution.
    """
    if not found.std > 0 or abs(found.difference) <= ROUNDING:
        return None
    size = abs(found.difference) / found.std
    return fewest(lambda n: paired_power(size, n, alpha) >= POWER, MOST_SEEDS)


def fewest(enough: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest n from 2 to `most` that is enough, None if `most` is not.

    Args:
        enough: false up to some n, and true from there on.
    """
    if not enough(most):
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def paired_power(size: float, n: int, alpha: float = ALPHA) -> float:
    """Return the power of a two-sided paired t-test over n >= 2 pairs.

    Args:
        size: the true mean difference, in standard deviations of the differences.
    """
    critical = stats.t.isf(alpha / 2, n - 1)
    shift = size * math.sqrt(n)
    # scipy's noncentral t is nan for large shifts: average the normal over the estimated spread
    spread = np.sqrt(stats.chi2.ppf(POWER_GRID, n - 1) / (n - 1))
    found = stats.norm.sf(critical * spread - shift) + stats.norm.cdf(-critical * spread - shift)
    return float(found.mean())


def best_so_far(scores: Sequence[float], *, higher: bool = True) -> list[float]:
    """Return the best of the first 1, 2, ... scores, in the order in which trials ended."""
    best: list[float] = []
    for score in scores:
        better = not best or ((score > best[-1]) if higher else (score < best[-1]))
        best.append(score if better else best[-1])
    return best


def t_interval(mean: float, std: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the t-interval of a mean over n values; without a spread, the mean twice."""
    reach = _quantile(n - 1, (1 + level) / 2) * std / math.sqrt(n)
    return mean - reach, mean + reach


@lru_cache(maxsize=1024)
def _quantile(freedom: int, share: float) -> float:
    return float(special.stdtrit(freedom, share))
