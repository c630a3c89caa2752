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
    """
    others = [t for t in best if any(default.get(key) != v for key, v in t.values.items())]
    cells: dict[str, TrialRecord | None] = {DEFAULT: None}
    cells |= {f"best-{rank}": t for rank, t in enumerate(others[: confirm.top], start=1)}
    return [
        Proposal(f"{cell}-s{seed}", dict(trial.values) if trial else {}, seed, cell)
        for seed in confirm.seeds
        for cell, trial in cells.items()
    ]
