"""The broker's answers to Tune's clients and to the gangs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from raymoco.metrics import Row
from raymoco.study.journal.events import TrialState


@dataclass(frozen=True)
class TrialNews:
    """News of a trial for its client: a report, the trial's end, or neither for now."""

    row: Row | None = None
    end: TrialState | None = None


@dataclass(frozen=True)
class Canceled:
    """The state in which a canceled trial ended, and the reports that its client did not fetch."""

    state: TrialState
    unread: list[Row]


class GangOrder(StrEnum):
    """What a gang must do when it gets no trial."""

    WAIT = "wait"  # and ask again
    CLOSE = "close"
