"""A trial to run, and the Protocol of proposers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from raymoco.metrics import Row
from raymoco.study.journal.events import TrialPhase, TrialState


@dataclass
class Proposal:
    """One trial to run: the values that differ from the base run, its cell and seed.

    With `repeats` above 1 it is training number `repeat` of so many of a search's `proposal`.
    """

    trial_id: str
    values: dict[str, Any]
    seed: int
    cell: str = ""
    attempt: int = 1
    resume_from: str | None = None
    until: int | None = None
    phase: TrialPhase = TrialPhase.MAIN
    proposal: str = ""
    repeat: int = 0
    repeats: int = 1


class Proposals(Protocol):
    """Proposes trials: from Optuna or from a list."""

    @property
    def pending(self) -> bool:
        """Whether the end of a running trial may bring further ones, when there are none now."""

    def ask(self) -> Proposal | None:
        """Return the next trial, or None when there are no more."""

    def tell(self, proposal: Proposal, state: TrialState, rows: dict[int, Row]) -> None:
        """Record how a trial ended (completed, pruned, stopped, failed), and its rows by epoch."""


@dataclass
class ListProposals:
    """Proposes trials that are known beforehand: confirmations, cells of an ablation."""

    waiting: list[Proposal]
    pending: ClassVar[bool] = False

    def ask(self) -> Proposal | None:
        return self.waiting.pop(0) if self.waiting else None

    def tell(self, proposal: Proposal, state: TrialState, rows: dict[int, Row]) -> None:
        """Do nothing: the trials are fixed beforehand."""
