"""cells.csv, comparisons.csv and effects.csv: the results of an ablation with intervals."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from raymoco.files import write_atomically
from raymoco.metrics import describe
from raymoco.study.journal.events import TrialPhase, TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.journal.ranking import ranked
from raymoco.study.statistics.effects import Contrast, cell_contrasts, interactions, main_effects
from raymoco.study.statistics.equivalence import Equivalence, seeds_for_negligible, tost
from raymoco.study.statistics.exact import sign_flip
from raymoco.study.statistics.items import ITEM_COLUMNS, ItemInterval, item_row
from raymoco.study.statistics.looks import Look, seeds_over, spend, take_looks
from raymoco.study.statistics.outcomes import Outcomes, load_outcomes
from raymoco.study.statistics.paired import (
    ALPHA,
    MOST_SEEDS,
    ROUNDING,
    CellMean,
    PairedDifference,
    cell_mean,
    holm,
    mean_difference,
    means_per_tuning,
    seeds_needed,
    verdict,
)
from raymoco.study.statistics.plan import margin_stood
from raymoco.study.sweepfile.cells import Cell, Design
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.sections import CONFIRMED, DEFAULT

FOUND = (
    *("n", "difference", "low", "high", "p", "p_holm", "verdict", "failed_pairs", "seeds_needed"),
    *("p_sign_flip", "p_tost", "low_90", "high_90", "p_tost_holm", *ITEM_COLUMNS),
)

# why a verdict that the numbers would give is withheld
LOST_PAIRS = "with lost pairs nothing is said to help or to be negligible"
LATE_MARGIN = "nothing is called negligible by a margin that the sweep did not begin with"
NO_LOOK = "nothing is judged before a look"


def compared_trials(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the trials of the comparison: those of a cell, without its tuning trials."""
    return [trial for trial in trials if trial.cell and trial.phase != TrialPhase.TUNE]


def scores_by_cell(ledger: Ledger, metric: str) -> dict[str, dict[int, float]]:
    """Return the last value of a metric by cell and seed, of the completed trials."""
    scores: dict[str, dict[int, float]] = {}
    for trial in compared_trials(ledger.all()):
        if trial.completed and math.isfinite(trial.score(metric)):
            scores.setdefault(trial.cell, {})[trial.seed] = trial.score(metric)
    return scores


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


class Comparisons:
    """Cell means, paired differences to the baseline (the first cell), and effects.

    Args:
        cells: the design's, the baseline first.
        ledger: of its trials the completed ones are used; failed ones are dropped with their pairs
            and counted.
        metric: the metric to compare, by its last value.
        higher: whether higher is better.
        margin: differences within +-margin are `negligible`; None: none is.
        design: of the cells; it determines the pairs of a main effect.
        seeds: the seeds of a look; None: all that there are.
        calls_negligible, level, decides: as for `judge`.
        outcomes: per image, of the ledger's trials; without, nothing is said over images.
        tuning_of: the tuning of each seed, if there are several; all intervals are then over them.

    Attributes:
        means: by cell name; None where no trial was completed.
        rows: comparisons.csv by cell name, without the baseline.
        effects: effects.csv: main effects and two-way interactions, a family of their own.
        looks: the planned looks, with what each has decided; these are the results of the last
            that was taken.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        ledger: Ledger,
        metric: str,
        *,
        higher: bool,
        margin: float | None = None,
        design: Design = "full",
        seeds: Sequence[int] | None = None,
        calls_negligible: bool = True,
        level: float = ALPHA,
        decides: bool = True,
        outcomes: Outcomes | None = None,
        tuning_of: Mapping[int, int] | None = None,
    ) -> None:
        self.tuning_of = tuning_of
        self.metric, self.higher, self.margin = metric, higher, margin
        self.cells = list(cells)
        self.baseline = cells[0].name
        self.looks: list[Look] = []
        self._calls_negligible, self._level, self._decides = calls_negligible, level, decides
        self.scores = scores_by_cell(ledger, metric)
        self.outcomes = outcomes or Outcomes()
        self._failed = failed_seeds(ledger, metric)
        if seeds is not None:
            held = set(seeds)
            self.scores = {
                cell: {seed: score for seed, score in by_seed.items() if seed in held}
                for cell, by_seed in self.scores.items()
            }
            self._failed = {cell: failed & held for cell, failed in self._failed.items()}
        self.means: dict[str, CellMean | None] = {
            cell.name: self._mean(self.scores.get(cell.name, {})) for cell in cells
        }
        self.rows = {row.name: row for row in self._judged(cell_contrasts(cells))}
        self.effects = self._judged([*main_effects(cells, design), *interactions(cells)])

    def _judged(self, contrasts: Sequence[Contrast]) -> list[Judged]:
        return judge(
            contrasts,
            self.scores,
            self._failed,
            higher=self.higher,
            margin=self.margin,
            calls_negligible=self._calls_negligible,
            level=self._level,
            decides=self._decides,
            outcomes=self.outcomes,
            tuning_of=self.tuning_of,
        )

    @property
    def decided(self) -> bool:
        """Whether every row of comparisons.csv has a verdict other than `not resolved`."""
        return all(row.verdict != "not resolved" for row in self.rows.values())

    def _mean(self, by_seed: Mapping[int, float]) -> CellMean | None:
        mean = cell_mean(means_per_tuning(by_seed, self.tuning_of))
        return mean and replace(mean, seeds=None if self.tuning_of is None else len(by_seed))

    def sentence(self, cell: str) -> str:
        """Return a sentence that compares a cell with the baseline."""
        return f"{cell} against {self.baseline}: {self.rows[cell].words}"

    def write(self, folder: Path) -> None:
        """Write cells.csv, comparisons.csv and effects.csv, numbers unrounded."""
        files = SweepFolder(folder)
        cells = [
            [name, m.n, m.mean, *("" if math.isnan(x) else x for x in (m.std, m.low, m.high))]
            if m
            else [name, 0, "", "", "", ""]
            for name, m in self.means.items()
        ]
        write_table(files.cells, ("cell", "n", "mean", "std", "low", "high"), cells)
        rows = [[row.name, self.baseline, *row.row()] for row in self.rows.values()]
        write_table(files.comparisons, ("cell", "baseline", *FOUND), rows)
        effects = [[effect.name, *effect.row()] for effect in self.effects]
        write_table(files.effects, ("effect", *FOUND), effects)


def outcomes_of(folder: Path, ledger: Ledger, metric: str) -> Outcomes:
    """Read the outcomes per image of a sweep's compared trials from its folder."""
    return load_outcomes(folder, compared_trials(ledger.all()), metric)


def compare_cells(sweep: Sweep, ledger: Ledger, folder: Path | None = None) -> Comparisons | None:
    """Compare the cells of an ablation, as far as it has trials; None for a search.

    With looks the result is that of the last look that was taken: of its seeds and at its level.
    Before the first look it has all seeds, and nothing is judged.

    Args:
        folder: the sweep's, for outcomes per image; without, nothing is said over images.
    """
    spec = sweep.ablation
    if spec is None:
        return None
    compare = partial(
        Comparisons,
        spec.cells,
        ledger,
        spec.metric,
        higher=spec.objective.mode == "max",
        margin=spec.margin,
        design=spec.design,
        calls_negligible=margin_stood(spec, ledger),
        outcomes=None if folder is None else outcomes_of(folder, ledger, spec.metric),
        tuning_of=spec.tuning_of,
    )
    if spec.looks is None:
        return compare()
    levels = spend(spec.looks.seeds, spec.looks.spending)
    taken = take_looks(
        spec.looks,
        seeds_over(spec.seeds, compared_trials(ledger.all())),
        lambda seeds, level: compare(seeds=spec.seeds[:seeds], level=level),
        lambda found: found.decided,
    )
    result = taken[-1] if taken else compare(level=levels[0], decides=False)
    for number, seeds in enumerate(spec.looks.seeds):
        found = taken[number] if number < len(taken) else None
        decided = {row.name: row.verdict for row in found.rows.values()} if found else {}
        result.looks.append(Look(seeds, levels[number], sum(levels[: number + 1]), decided))
    return result


def judge_confirmation(
    sweep: Sweep, ledger: Ledger, outcomes: Outcomes | None = None
) -> list[Judged]:
    """Compare a search's best with the default and the baselines, on the test set.

    Each confirmed trial is compared with the default, and the best of them and the default with
    each baseline of `confirm.against`: one family. It includes trials that were the best when an
    earlier driver ended, and those whose runs all failed, so that no confirmation is lost silently.

    Args:
        outcomes: per image, of CONFIRMED.
    Returns:
        An empty list without `confirm`, and before a pair has ended.
    """
    scores, failed = scores_by_cell(ledger, CONFIRMED), failed_seeds(ledger, CONFIRMED)
    if DEFAULT not in {*scores, *failed}:
        return []
    trials, baselines = confirmed_cells(sweep, ledger)
    pairs = [(trial, DEFAULT) for trial in trials]
    pairs += [(ours, other) for ours in (*trials[:1], DEFAULT) for other in baselines]
    contrasts = [
        Contrast(f"{one} against {other}", {}, {}, {one: 1.0, other: -1.0}) for one, other in pairs
    ]
    return judge(contrasts, scores, failed, higher=describe(CONFIRMED).higher, outcomes=outcomes)


def confirmed_cells(sweep: Sweep, ledger: Ledger) -> tuple[list[str], list[str]]:
    """Return the confirmed trials of a search, best first, and the baselines beside the default."""
    spec = sweep.search
    against = spec.confirm.against if spec is not None and spec.confirm is not None else {}
    cells = dict.fromkeys(trial.cell for trial in compared_trials(ledger.all()))
    places = {
        trial.trial_id: place
        for place, trial in enumerate(ranked(ledger.search_trials, sweep.spec.objective))
    }
    trials = [cell for cell in cells if cell != DEFAULT and cell not in against]
    trials.sort(key=lambda cell: places.get(cell, len(places)))
    return trials, [name for name in against if name in cells]


def write_confirmation(judged: Sequence[Judged], folder: Path) -> None:
    """Write comparisons.csv of a search: a row per comparison of its confirmation, if any."""
    rows = []
    for row in judged:
        one, other = sorted(row.contrast.weights, key=lambda cell: -row.contrast.weights[cell])
        rows.append([one, other, *row.row()])
    if rows:
        write_table(SweepFolder(folder).comparisons, ("cell", "baseline", *FOUND), rows)


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a CSV file atomically."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_atomically(path, stream.getvalue())


def failed_seeds(ledger: Ledger, metric: str) -> Mapping[str, set[int]]:
    """Return by cell the seeds whose training failed or gave no score."""
    failed: dict[str, set[int]] = {}
    for trial in compared_trials(ledger.all()):
        scored = math.isfinite(trial.score(metric))
        if trial.state == TrialState.FAILED or (trial.completed and not scored):
            failed.setdefault(trial.cell, set()).add(trial.seed)
    return failed


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"
