"""Looks: an ablation whose seeds grow in planned steps, with alpha spent over the steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from scipy import stats

from raymoco.study.journal.events import TrialState
from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.statistics.paired import ALPHA
from raymoco.study.sweepfile.sections import Looks, Spending

Found = TypeVar("Found")


@dataclass(frozen=True)
class Look:
    """One planned look at an ablation.

    Attributes:
        seeds: how many seeds are judged at it.
        level: both Holm families are judged at this level instead of 0.05.
        spent: the sum of this level and those before.
        decided: the verdict by row of comparisons.csv; empty where the look was not taken (yet).
    """

    seeds: int
    level: float
    spent: float
    decided: dict[str, str]

    @property
    def open(self) -> list[str]:
        """The rows that this look did not decide."""
        return [row for row, verdict in self.decided.items() if verdict == "not resolved"]

    @property
    def taken(self) -> bool:
        """Whether all trials of its seeds had ended, so that the rows were judged."""
        return bool(self.decided)


def spend(seeds: Sequence[int], spending: Spending, alpha: float = ALPHA) -> list[float]:
    """Return the level of each look; the levels add up to alpha.

    A verdict of look k is one at level_k. So the chance of any false verdict at any look is at
    most the sum of the levels, whatever the looks have in common (union bound). This is always
    valid and a little conservative: exact group-sequential bounds would use the correlation of
    the looks, which is known for one normal test but not for Holm's families of t-tests.

    Args:
        seeds: the numbers of seeds at the looks, rising.
        spending: `bonferroni`: alpha / k each. `obrien_fleming`: alpha*(t_k) - alpha*(t_{k-1}) with
            alpha*(t) = 2 - 2 Phi(z / sqrt(t)), z the two-sided quantile of alpha, and t the share
            of the last look's seeds: little at the early looks, most of alpha at the last.
    Source: Lan and DeMets 1983, "Discrete sequential boundaries for clinical trials"; O'Brien and
        Fleming 1979, "A multiple testing procedure for clinical trials".
    """
    if spending == "bonferroni":
        return [alpha / len(seeds)] * len(seeds)
    z = stats.norm.isf(alpha / 2)
    by_then = [float(2 * stats.norm.sf(z / math.sqrt(n / seeds[-1]))) for n in seeds]
    return [now - before for before, now in zip([0.0, *by_then], by_then, strict=False)]


def seeds_over(seeds: Sequence[int], trials: Iterable[TrialRecord]) -> int:
    """Return of how many seeds, from the first on, every cell's trial has ended.

    A cell without any trial is left out: with `tune` it is not compared if its tuning failed.

    Args:
        seeds: all seeds of the file, in their order.
        trials: of the comparison. A stopped one has not ended: a resume continues it.
    """
    ends = (TrialState.COMPLETED, TrialState.FAILED, TrialState.PRUNED)
    ended: dict[str, set[int]] = {}
    for trial in trials:
        of_cell = ended.setdefault(trial.cell, set())
        if trial.state in ends:
            of_cell.add(trial.seed)
    if not ended:
        return 0
    common = set.intersection(*ended.values())
    return next((n for n, seed in enumerate(seeds) if seed not in common), len(seeds))


def take_looks(
    looks: Looks,
    over: int,
    judged: Callable[[int, float], Found],
    decided: Callable[[Found], bool],
) -> list[Found]:
    """Judge at each look in turn, until one has decided everything or has too few seeds.

    Args:
        looks: the plan.
        over: of how many seeds all trials have ended.
        judged: called with the number of seeds and the level of a look.
        decided: whether everything is decided, so that no further look is taken.
    Returns:
        What `judged` has found at each look that was taken.
    """
    taken: list[Found] = []
    for seeds, level in zip(looks.seeds, spend(looks.seeds, looks.spending), strict=True):
        if seeds > over:
            break
        taken.append(judged(seeds, level))
        if decided(taken[-1]):
            break
    return taken
