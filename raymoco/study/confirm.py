"""After a search: was the best really better, on seeds and a test set that chose nothing?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raymoco.study.journal import TrialRecord
from raymoco.study.proposal import Proposal
from raymoco.study.spec import Confirm

DEFAULT = "default"
METRIC = "test/knn_top1"


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
    Returns:
        A cell is called as its trial: when a resume finds a better one, that is another cell.
    """
    others = [t for t in best if any(default.get(key) != v for key, v in t.values.items())]
    cells: dict[str, TrialRecord | None] = {DEFAULT: None}
    cells |= {trial.trial_id: trial for trial in others[: confirm.top]}
    return [
        Proposal(f"{cell}-s{seed}", dict(trial.values) if trial else {}, seed, cell)
        for seed in confirm.seeds
        for cell, trial in cells.items()
    ]
