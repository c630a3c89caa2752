"""One trial to run, and where such come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from raymoco.metrics import Row
from raymoco.study.journal.events import TrialPhase, TrialState


@dataclass
class Proposal:
    """One trial to run: the values that differ from the base run, its cell and seed."""

    trial_id: str
    values: dict[str, Any]
    seed: int
    cell: str = ""
    attempt: int = 1
    resume_from: str | None = None
    until: int | None = None
    phase: TrialPhase = TrialPhase.MAIN


class Proposals(Protocol):
    """Where trials come from: Optuna, or a list."""

    def ask(self) -> Proposal | None:
        """The next trial, or None when there are no more."""

    def tell(self, proposal: Proposal, state: TrialState, rows: dict[int, Row]) -> None:
        """How a trial ended: completed, pruned, stopped or failed, with its rows by epoch."""


@dataclass
class ListProposals:
    """Trials that are known beforehand: confirmations, cells of an ablation."""

    waiting: list[Proposal]

    def ask(self) -> Proposal | None:
        return self.waiting.pop(0) if self.waiting else None

    def tell(self, proposal: Proposal, state: TrialState, rows: dict[int, Row]) -> None:
        """Nobody learns from it."""
