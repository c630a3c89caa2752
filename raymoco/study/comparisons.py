"""cells.csv and comparisons.csv: what an ablation found, with intervals."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raymoco.study.cells import Cell
from raymoco.study.journal import Ledger
from raymoco.study.statistics import CellMean, PairedDifference, cell_mean, holm, paired_difference
from raymoco.yamlfile import write_atomically

ALPHA = 0.05


def scores_by_cell(ledger: Ledger, metric: str) -> dict[str, dict[int, float]]:
    """The last value of a metric by cell and seed, of the completed trials."""
    scores: dict[str, dict[int, float]] = {}
    for trial in ledger.all():
        if trial.cell and trial.state == "completed" and metric in trial.final:
            scores.setdefault(trial.cell, {})[trial.seed] = trial.final[metric]
    return scores


class Comparisons:
    """Each cell's mean and its paired difference to the baseline, the first cell.

    Attributes:
        means: by cell name; None where no trial was completed.
        differences: by cell name, the baseline left out; None with fewer than two common seeds.
        p_holm: Holm-adjusted p over all differences that have one.
    """

    def __init__(self, cells: Sequence[Cell], ledger: Ledger, metric: str, *, higher: bool) -> None:
        self.metric, self.higher = metric, higher
        scores = scores_by_cell(ledger, metric)
        self.baseline = cells[0].name
        self.means: dict[str, CellMean | None] = {
            cell.name: cell_mean(list(scores.get(cell.name, {}).values())) for cell in cells
        }
        start = scores.get(self.baseline, {})
        self.differences: dict[str, PairedDifference | None] = {
            cell.name: paired_difference(scores.get(cell.name, {}), start) for cell in cells[1:]
        }
        tested = {n: d.p for n, d in self.differences.items() if d and not math.isnan(d.p)}
        self.p_holm = dict(zip(tested, holm(list(tested.values())), strict=True))

    def verdict(self, cell: str) -> str:
        """`helps`, `hurts`, `identical` or `not resolved`, by the adjusted p."""
        found = self.differences[cell]
        if found is None:
            return "not resolved"
        if found.verdict == "identical":
            return "identical"
        if self.p_holm.get(cell, 1.0) >= ALPHA:
            return "not resolved"
        return "helps" if (found.difference > 0) == self.higher else "hurts"

    def sentence(self, cell: str) -> str:
        """One cell against the baseline, in words."""
        found = self.differences[cell]
        if found is None:
            return f"{cell} against {self.baseline}: fewer than two seeds finished in both"
        return f"{cell} against {self.baseline}: {found.interval}, {self.verdict(cell)}"

    def write(self, folder: Path) -> None:
        """Write cells.csv and comparisons.csv, numbers unrounded."""
        cells = [
            [name, m.n, m.mean, m.std, m.low, m.high] if m else [name, 0, "", "", "", ""]
            for name, m in self.means.items()
        ]
        _write(folder / "cells.csv", ("cell", "n", "mean", "std", "low", "high"), cells)
        rows = [
            [name, self.baseline, d.n, d.difference, d.low, d.high, d.p, self.p_holm.get(name, "")]
            if d
            else [name, self.baseline, 0, "", "", "", "", ""]
            for name, d in self.differences.items()
        ]
        columns = ("cell", "baseline", "n", "difference", "low", "high", "p", "p_holm", "verdict")
        verdicts = [self.verdict(name) for name in self.differences]
        table = [[*row, verdict] for row, verdict in zip(rows, verdicts, strict=True)]
        _write(folder / "comparisons.csv", columns, table)


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_atomically(path, stream.getvalue())
