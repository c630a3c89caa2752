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
    """Return proposals for default, baselines and the best trials' values with every fresh seed.

    Args:
        best: completed trials, best first; the default itself is skipped.
        default: every value of the base run by dotted key.
    Returns:
        An empty list if there is nothing to compare: no trial beside the default, and no baseline.
            A cell is named after its trial: if a resume finds a better trial, that is another cell.
    """
    cells: dict[str, dict[str, Any]] = {DEFAULT: {}, **confirm.against}
    others = beside_default(best, default)
    cells |= {trial.trial_id: trial.values for trial in others[: confirm.top]}
    if len(cells) == 1:
        return []
    return [
        Proposal(f"{cell}-s{seed}", dict(values), seed, cell)
        for seed in confirm.seeds
        for cell, values in cells.items()
    ]
