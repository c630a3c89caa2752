"""Test contrasts over seeds: difference, intervals, p adjusted over the family, verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from raymoco.study.statistics.effects import Contrast
from raymoco.study.statistics.equivalence import Equivalence, seeds_for_negligible, tost
from raymoco.study.statistics.exact import sign_flip
from raymoco.study.statistics.items import ITEM_COLUMNS, ItemInterval, item_row
from raymoco.study.statistics.outcomes import Outcomes
from raymoco.study.statistics.paired import (
    ALPHA,
    MOST_SEEDS,
    ROUNDING,
    PairedDifference,
    holm,
    mean_difference,
    means_per_tuning,
    seeds_needed,
    verdict,
)

FOUND = (
    *("n", "difference", "low", "high", "p", "p_holm", "verdict", "failed_pairs", "seeds_needed"),
    *("p_sign_flip", "p_tost", "low_90", "high_90", "p_tost_holm", *ITEM_COLUMNS),
)

# why a verdict that the numbers would give is withheld
LOST_PAIRS = "with lost pairs nothing is said to help or to be negligible"

LATE_MARGIN = "nothing is called negligible by a margin that the sweep did not begin with"

NO_LOOK = "nothing is judged before a look"


@dataclass(frozen=True)
class Judged:
    """One row of comparisons.csv or effects.csv.

    Attributes:
        difference: None with fewer than two seeds.
        p_holm: p adjusted over all rows of its file; nan where the row has no p.
        failed: the number of pairs lost to failed trials.
        differences: the contrast of each seed, in the order of seeds; with several tunings, of each
            tuning.
        rows: the number of rows of its file.
        level: of the verdict; smaller than ALPHA at a look.
        equivalence: the tests against the margin; None without a margin or without a difference.
        p_tost_holm: its p adjusted over the equivalence rows of the file, another family.
        withheld: why the verdict that the numbers alone would give is not given; mostly empty.
        items: the interval over the same seeds and the judged images; None where outcomes are
            missing, the metric has none, or there are several tunings.
        unit: what is counted: seeds, or tunings.
    """

    contrast: Contrast
    difference: PairedDifference | None
    p_holm: float
    verdict: str
    failed: int
    differences: tuple[float, ...] = ()
    rows: int = 1
    level: float = ALPHA
    equivalence: Equivalence | None = None
    p_tost_holm: float = math.nan
    withheld: str = ""
    items: ItemInterval | None = None
    unit: str = "seeds"

    @property
    def name(self) -> str:
        return self.contrast.name

    @cached_property
    def seeds(self) -> int | None:
        """How many seeds are needed to detect a difference this small.

        None where it is resolved, or where MOST_SEEDS are not enough.
        """
        found = self.difference
        if self.verdict != "not resolved" or found is None or self.p_holm < self.level:
            return None
        return seeds_needed(found, self.level / self.rows)

    @cached_property
    def seeds_for_negligible(self) -> tuple[int | None, int | None]:
        """How many seeds are needed to call it negligible.

        The first if the true difference is 0, the second if it is the observed one. None where it
        is resolved or negligible, without a margin, or where MOST_SEEDS are not enough.
        """
        found, limit = self.difference, self.equivalence
        if self.verdict != "not resolved" or found is None or limit is None:
            return None, None
        alpha = self.level / self.rows
        by_zero = seeds_for_negligible(found, limit.margin, alpha)
        return by_zero, seeds_for_negligible(found, limit.margin, alpha, found.difference)

    @cached_property
    def p_sign_flip(self) -> float:
        """p of the sign-flip test, not adjusted; nan with fewer than two seeds."""
        return sign_flip(self.differences) if self.difference is not None else math.nan

    @property
    def words(self) -> str:
        """Interval and verdict; if it is not resolved, how many seeds are needed."""
        lost = f"; {_pairs(self.failed)} lost to failed trials" if self.failed else ""
        lost = f"; {self.over_images}{lost}" if self.over_images else lost
        found = self.difference
        if found is None:
            return f"not resolved: fewer than two {self.unit} finished in both{lost}"
        why = f"; {self.withheld}" if self.withheld else ""
        if self.verdict == "negligible" and self.equivalence is not None:
            within = f"{self.equivalence.interval}, {found.size}"
            return f"{found.difference:+z.4f}, {within}: negligible{why}{lost}"
        if self.verdict != "not resolved" or math.isnan(found.p):
            return f"{found.interval}: {self.verdict}{why}{lost}"
        if self.p_holm < self.level:  # it would be resolved, if that were not withheld
            return f"{found.interval}: not resolved{why}{lost}"
        return f"{found.interval}: not resolved; {self.resolution}{why}{lost}"

    @property
    def over_images(self) -> str:
        """The interval over seeds and images, in words; '' where outcomes are missing."""
        if self.items is None or self.verdict == "identical":
            return ""
        open_ = self.verdict in ("helps", "hurts") and not self.items.resolved
        return self.items.words + (", which includes 0" if open_ else "")

    @property
    def resolution(self) -> str:
        """Half the interval with these seeds, and how many are needed; '' without a difference."""
        found = self.difference
        if found is None:
            return ""
        if self.seeds is not None:
            needed = f"about {self.seeds} {self.unit} are needed to detect a difference this small"
        elif abs(found.difference) <= ROUNDING:
            needed = "the mean difference is 0"
        else:
            needed = f"more than {MOST_SEEDS:,} {self.unit} are needed to detect a difference "
            needed += "this small"
        return f"±{found.reach:.4f} with {found.size}; {needed}{self._for_negligible}"

    @property
    def _for_negligible(self) -> str:
        if self.equivalence is None:
            return ""
        by_zero, as_observed = self.seeds_for_negligible
        if by_zero is None:
            return f", more than {MOST_SEEDS:,} to call it negligible"
        also = f", about {as_observed} if it is the observed one" if as_observed else ""
        return f", about {by_zero} to call it negligible if the true difference is 0{also}"

    def row(self) -> list[Any]:
        """The values of its row, unrounded, in the order of FOUND."""
        d = self.difference
        numbers = (
            [d.n, d.difference, d.low, d.high, d.p, self.p_holm] if d else [0, *[math.nan] * 5]
        )
        seeds = math.nan if self.seeds is None else self.seeds
        limit = self.equivalence or Equivalence(math.nan, math.nan, math.nan, math.nan)
        more = [self.p_sign_flip, limit.p, limit.low, limit.high, self.p_tost_holm]
        values = [*numbers, self.verdict, self.failed, seeds, *more]
        shown = ["" if isinstance(x, float) and math.isnan(x) else x for x in values]
        return [*shown, *item_row(self.items)]


def judge(
    contrasts: Sequence[Contrast],
    scores: Mapping[str, Mapping[int, float]],
    failed_seeds: Mapping[str, set[int]],
    *,
    higher: bool,
    margin: float | None = None,
    calls_negligible: bool = True,
    level: float = ALPHA,
    decides: bool = True,
    outcomes: Outcomes | None = None,
    tuning_of: Mapping[int, int] | None = None,
) -> list[Judged]:
    """Test each contrast over seeds, all of them as one family; against the margin, as another one.

    A contrast that cannot be tested counts as p = 1: the family has all requested contrasts.
    Otherwise a cell that always fails would make the others more significant.

    Args:
        scores: by cell and seed, of completed trials.
        failed_seeds: by cell, the seeds of trials without a score.
        higher: whether a higher metric is better.
        margin: smaller differences do not matter; None: they are not tested against any.
        calls_negligible: whether the margin may decide: false if it was set after the sweep began.
        level: of both families.
        decides: false before the first look: nothing is resolved or negligible then.
        outcomes: per image, of the same trials.
        tuning_of: the tuning of each seed, if there are several: all tests, intervals and numbers
            needed are then over the means per tuning, and nothing is said over images.
    """
    by_seed = [contrast.by_seed(scores) for contrast in contrasts]
    tested = [means_per_tuning(values, tuning_of) for values in by_seed]
    found = [mean_difference(values) for values in tested]
    if tuning_of is not None:
        found = [d and replace(d, seeds=len(v)) for d, v in zip(found, by_seed, strict=True)]
    limits = [None if margin is None else tost(difference, margin) for difference in found]
    adjusted = _adjusted([math.nan if d is None else d.p for d in found])
    adjusted_tost = _adjusted([math.nan if limit is None else limit.p for limit in limits])
    judged = []
    for number, contrast in enumerate(contrasts):
        difference, p, p_tost = found[number], adjusted[number], adjusted_tost[number]
        failed = len(set().union(*(failed_seeds.get(cell, set()) for cell in contrast.weights)))
        alone = verdict(difference, p, higher=higher, p_tost=p_tost, level=level)
        said = verdict(
            difference,
            p if decides else math.nan,
            higher=higher,
            failed=failed,
            p_tost=p_tost if decides and calls_negligible else math.nan,
            level=level,
        )
        withheld = ""
        if said != alone:
            late = alone == "negligible" and not calls_negligible
            withheld = NO_LOOK if not decides else LATE_MARGIN if late else LOST_PAIRS
        judged.append(
            Judged(
                contrast,
                difference,
                p,
                said,
                failed,
                differences=tuple(tested[number]),
                rows=len(contrasts),
                level=level,
                equivalence=limits[number],
                p_tost_holm=p_tost,
                withheld=withheld,
                items=outcomes.interval(contrast, by_seed[number])
                if outcomes and tuning_of is None
                else None,
                unit="seeds" if tuning_of is None else "tunings",
            )
        )
    return judged


def _adjusted(p_values: Sequence[float]) -> list[float]:
    """Adjust p over a family in which a row without a p counts as 1, and stays without."""
    adjusted = holm([1.0 if math.isnan(p) else p for p in p_values])
    return [math.nan if math.isnan(raw) else p for raw, p in zip(p_values, adjusted, strict=True)]


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"
