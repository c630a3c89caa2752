"""The compared trials of a ledger: scores and outcomes per image, by cell and seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from raymoco.study.journal.events import TrialPhase, TrialState
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.statistics.outcomes import Outcomes, load_outcomes


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


def outcomes_of(folder: Path, ledger: Ledger, metric: str) -> Outcomes:
    """Read the outcomes per image of a sweep's compared trials from its folder."""
    return load_outcomes(folder, compared_trials(ledger.all()), metric)


def failed_seeds(ledger: Ledger, metric: str) -> Mapping[str, set[int]]:
    """Return by cell the seeds whose training failed or gave no score."""
    failed: dict[str, set[int]] = {}
    for trial in compared_trials(ledger.all()):
        scored = math.isfinite(trial.score(metric))
        if trial.state == TrialState.FAILED or (trial.completed and not scored):
            failed.setdefault(trial.cell, set()).add(trial.seed)
    return failed
