"""Confirm the best trials of a search, on fresh seeds and a test set that did not choose them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.proposals.proposal import Proposal
from raymoco.study.sweepfile.sections import DEFAULT, Confirm

NOTHING_ELSE = "No completed trial differs from the run as it stands: there was nothing to confirm."


def beside_default(best: list[TrialRecord], default: Mapping[str, Any]) -> list[TrialRecord]:
    """The trials whose values differ from the base run: what there is to confirm.

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
    """The default and the best trials' values, each with every fresh seed.

    Args:
        best: completed trials, best first; the default itself is passed over.
        default: every value of the base run by dotted key.
    Returns:
        An empty list where no trial is left. A cell is named after its trial: when a resume finds
        a better one, that is another cell.
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
