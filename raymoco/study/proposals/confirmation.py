"""Confirm the best trials of a search with fresh seeds and on the test set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.proposals.proposal import Proposal
from raymoco.study.sweepfile.sections import DEFAULT, Confirm

NOTHING_ELSE = "No completed trial differs from the run as it stands: there was nothing to confirm."


def beside_default(best: list[TrialRecord], default: Mapping[str, Any]) -> list[TrialRecord]:
    """Return the trials whose values differ from the base run: those to confirm.

    Args:
        best: completed trials, best first.
        default: every value of the base run by dotted key.
    """
    return [t for t in best if any(default.get(key) != v for key, v in t.values.items())]


def confirm_proposals(
    confirm: Confirm,
    best: list[TrialRecord],
    default: Mapping[str, Any],
) -> list[Proposal]:
    """Return proposals for the default and the best trials' values with every fresh seed.

    Args:
        best: completed trials, best first; the default itself is skipped.
        default: every value of the base run by dotted key.
    Returns:
        An empty list if there is nothing to confirm. A cell is named after its trial: if a resume
            finds a better trial, that is another cell.
    """
    others = beside_default(best, default)
    if not others:
        return []
    cells: dict[str, TrialRecord | None] = {DEFAULT: None}
    cells |= {trial.trial_id: trial for trial in others[: confirm.top]}
    return [
        Proposal(f"{cell}-s{seed}", dict(trial.values) if trial else {}, seed, cell)
        for seed in confirm.seeds
        for cell, trial in cells.items()
    ]
