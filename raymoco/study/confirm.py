"""After a search: was the best really better, on seeds and a test set that chose nothing?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raymoco.study.journal import Ledger, TrialRecord
from raymoco.study.searcher import Proposal
from raymoco.study.spec import Confirm
from raymoco.study.statistics import PairedDifference, paired_difference

DEFAULT = "default"
METRIC = "test/knn_top1"


@dataclass(frozen=True)
class Confirmation:
    """Test accuracy by cell and seed, and each best cell against the default, paired by seed."""

    scores: dict[str, dict[int, float]]
    differences: dict[str, PairedDifference | None]


def confirm_proposals(
    confirm: Confirm,
    best: list[TrialRecord],
    default: Mapping[str, Any],
) -> list[Proposal]:
    """The default and the best trials' values, each with every fresh seed.

    Args:
        best: completed trials, best first.
        default: every value of the base run by dotted key: a trial that has set nothing else is
            the default itself, and is passed over.
    """
    others = [t for t in best if any(default.get(key) != v for key, v in t.values.items())]
    cells: dict[str, TrialRecord | None] = {DEFAULT: None}
    cells |= {f"best-{rank}": t for rank, t in enumerate(others[: confirm.top], start=1)}
    return [
        Proposal(f"{cell}-s{seed}", dict(trial.values) if trial else {}, seed, cell)
        for seed in confirm.seeds
        for cell, trial in cells.items()
    ]


def read_confirmation(ledger: Ledger) -> Confirmation:
    """The confirmation as far as its trials were completed."""
    scores: dict[str, dict[int, float]] = {}
    for trial in ledger.all():
        if trial.cell and trial.state == "completed" and METRIC in trial.final:
            scores.setdefault(trial.cell, {})[trial.seed] = trial.final[METRIC]
    baseline = scores.get(DEFAULT, {})
    differences = {
        cell: paired_difference(values, baseline)
        for cell, values in sorted(scores.items())
        if cell != DEFAULT
    }
    return Confirmation(scores, differences)
