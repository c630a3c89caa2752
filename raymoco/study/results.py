"""What a sweep leaves behind: the trials, the best, the comparisons."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from raymoco.study.journal.ledger import Ledger, TrialRecord, search_trials
from raymoco.study.journal.ranking import pareto_front, ranked
from raymoco.study.statistics.comparisons import (
    Comparisons,
    Judged,
    compare_cells,
    judge_confirmation,
)
from raymoco.study.sweepfile.load import Sweep


@dataclass
class SweepResult:
    """What a sweep left behind; `confirmation` of a search, `comparisons` of an ablation."""

    folder: Path
    trials: list[TrialRecord] = field(repr=False)
    best: list[TrialRecord]
    confirmation: list[Judged]
    comparisons: Comparisons | None
    interrupted: bool


def best_first(sweep: Sweep, ledger: Ledger) -> list[TrialRecord]:
    """The completed trials by the objective; with several, their Pareto front by the first."""
    trials = search_trials(ledger)
    if len(sweep.objectives) > 1:
        return pareto_front(trials, sweep.objectives)
    return ranked(trials, sweep.spec.objective)


def _result(sweep: Sweep, folder: Path, ledger: Ledger, *, interrupted: bool) -> SweepResult:
    return SweepResult(
        folder,
        ledger.all(),
        best_first(sweep, ledger),
        judge_confirmation(ledger) if sweep.spec.confirmations else [],
        compare_cells(sweep, ledger),
        interrupted,
    )
