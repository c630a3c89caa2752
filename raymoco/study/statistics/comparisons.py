"""cells.csv, comparisons.csv and effects.csv: the results of an ablation with intervals."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymoco.files import write_atomically
from raymoco.metrics import describe
from raymoco.study.journal.events import TrialPhase, TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.statistics.effects import Contrast, cell_contrasts, interactions, main_effects
from raymoco.study.statistics.items import ITEM_COLUMNS, ItemInterval, item_row
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
    seeds_needed,
    verdict,
)
from raymoco.study.sweepfile.cells import Cell, Design
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.sections import CONFIRMED, DEFAULT

FOUND = (
    *("n", "difference", "low", "high", "p", "p_holm", "verdict", "failed_pairs", "seeds_needed"),
    *ITEM_COLUMNS,
)


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
        seeds: how many are needed to detect a difference this small; None where it is resolved,
            or where MOST_SEEDS are not enough.
        items: the interval over the same seeds and the judged images; None where outcomes are
            missing, or the metric has none.
    """

    contrast: Contrast
    difference: PairedDifference | None
    p_holm: float
    verdict: str
    failed: int
    seeds: int | None
    items: ItemInterval | None = None

    @property
    def name(self) -> str:
        return self.contrast.name

    @property
    def words(self) -> str:
        """Interval and verdict; if it is not resolved, how many seeds are needed."""
        lost = f"; {_pairs(self.failed)} lost to failed trials" if self.failed else ""
        lost = f"; {self.over_images}{lost}" if self.over_images else lost
        found = self.difference
        if found is None:
            return f"not resolved: fewer than two seeds finished in both{lost}"
        if self.verdict != "not resolved" or math.isnan(found.p):
            return f"{found.interval}: {self.verdict}{lost}"
        if self.p_holm < ALPHA:  # a failed pair is the only reason why it is not `helps`
            return f"{found.interval}: not resolved{lost}"
        return f"{found.interval}: not resolved; {self.resolution}{lost}"

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
            needed = f"about {self.seeds} seeds are needed to detect a difference this small"
        elif abs(found.difference) <= ROUNDING:
            needed = "the mean difference is 0"
        else:
            needed = f"more than {MOST_SEEDS:,} seeds are needed to detect a difference this small"
        return f"±{found.reach:.4f} with {found.n} seeds; {needed}"

    def row(self) -> list[Any]:
        """The values of its row, unrounded, in the order of FOUND."""
        d = self.difference
        numbers = (
            [d.n, d.difference, d.low, d.high, d.p, self.p_holm] if d else [0, *[math.nan] * 5]
        )
        shown = ["" if isinstance(x, float) and math.isnan(x) else x for x in numbers]
        needed = "" if self.seeds is None else self.seeds
        return [*shown, self.verdict, self.failed, needed, *item_row(self.items)]


def judge(
    contrasts: Sequence[Contrast],
    scores: Mapping[str, Mapping[int, float]],
    failed_seeds: Mapping[str, set[int]],
    *,
    higher: bool,
    margin: float | None = None,
    outcomes: Outcomes | None = None,
) -> list[Judged]:
    """Test each contrast over seeds, all of them as one family.

    A contrast that cannot be tested counts as p = 1: the family has all requested contrasts.
    Otherwise a cell that always fails would make the others more significant.

    Args:
        scores: by cell and seed, of completed trials.
        failed_seeds: by cell, the seeds of trials without a score.
        higher: whether a higher metric is better.
        outcomes: per image, of the same trials.
    """
    by_seed = [contrast.by_seed(scores) for contrast in contrasts]
    found = [mean_difference(list(values.values())) for values in by_seed]
    p_values = [math.nan if difference is None else difference.p for difference in found]
    adjusted = holm([1.0 if math.isnan(p) else p for p in p_values])
    judged = []
    for contrast, values, difference, raw, p_holm in zip(
        contrasts, by_seed, found, p_values, adjusted, strict=True
    ):
        p = math.nan if math.isnan(raw) else p_holm
        failed = len(set().union(*(failed_seeds.get(cell, set()) for cell in contrast.weights)))
        said = verdict(difference, p, higher=higher, failed=failed, margin=margin)
        seeds = None
        if said == "not resolved" and difference is not None and not p < ALPHA:
            seeds = seeds_needed(difference, ALPHA / len(contrasts))
        items = outcomes.interval(contrast, values) if outcomes else None
        judged.append(Judged(contrast, difference, p, said, failed, seeds, items))
    return judged


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
        outcomes: per image, of the ledger's trials; without, nothing is said over images.

    Attributes:
        means: by cell name; None where no trial was completed.
        rows: comparisons.csv by cell name, without the baseline.
        effects: effects.csv: main effects and two-way interactions, a family of their own.
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
        outcomes: Outcomes | None = None,
    ) -> None:
        self.metric, self.higher, self.margin = metric, higher, margin
        self.cells = list(cells)
        self.baseline = cells[0].name
        self.scores = scores_by_cell(ledger, metric)
        self.outcomes = outcomes or Outcomes()
        self._failed = failed_seeds(ledger, metric)
        self.means: dict[str, CellMean | None] = {
            cell.name: cell_mean(list(self.scores.get(cell.name, {}).values())) for cell in cells
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
            outcomes=self.outcomes,
        )

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

    Args:
        folder: the sweep's, for outcomes per image; without, nothing is said over images.
    """
    spec = sweep.ablation
    if spec is None:
        return None
    return Comparisons(
        spec.cells,
        ledger,
        spec.metric,
        higher=spec.objective.mode == "max",
        margin=spec.margin,
        design=spec.design,
        outcomes=None if folder is None else outcomes_of(folder, ledger, spec.metric),
    )


def judge_confirmation(ledger: Ledger, outcomes: Outcomes | None = None) -> list[Judged]:
    """Compare a search's best with the default, on the test set; empty without `confirm`.

    It includes trials that were the best when an earlier driver ended, and those whose runs all
    failed, so that no confirmation is lost silently.

    Args:
        outcomes: per image, of CONFIRMED.
    """
    scores, failed = scores_by_cell(ledger, CONFIRMED), failed_seeds(ledger, CONFIRMED)
    if DEFAULT not in {*scores, *failed}:
        return []
    cells = dict.fromkeys(trial.cell for trial in compared_trials(ledger.all()))  # best first
    contrasts = [
        Contrast(cell, {}, {}, {cell: 1.0, DEFAULT: -1.0}) for cell in cells if cell != DEFAULT
    ]
    return judge(contrasts, scores, failed, higher=describe(CONFIRMED).higher, outcomes=outcomes)


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
