"""cells.csv, comparisons.csv and effects.csv: the results of an ablation with intervals."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from raymoco.files import write_atomically
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger
from raymoco.study.statistics.effects import Contrast, cell_contrasts, interactions, main_effects
from raymoco.study.statistics.judged import FOUND, Judged, judge
from raymoco.study.statistics.looks import Look, seeds_over, spend, take_looks
from raymoco.study.statistics.outcomes import Outcomes
from raymoco.study.statistics.paired import (
    ALPHA,
    CellMean,
    cell_mean,
    means_per_tuning,
)
from raymoco.study.statistics.plan import margin_stood
from raymoco.study.statistics.scores import (
    compared_trials,
    failed_seeds,
    outcomes_of,
    scores_by_cell,
)
from raymoco.study.sweepfile.cells import Cell, Design
from raymoco.study.sweepfile.load import Sweep


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


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a CSV file atomically."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_atomically(path, stream.getvalue())
