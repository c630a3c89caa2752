"""The events of a single run's journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias, get_args

from raymoco.event_log import Begun, Closed, Event, EventKinds, Unknown, count_points
from raymoco.metrics import Row


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochDone(Event):
    """An epoch was trained."""

    kind: ClassVar[str] = "report"

    row: Row

    @property
    def points(self) -> int:
        """The number of metric values in it."""
        return count_points(self.row)


RunEvent: TypeAlias = Begun | EpochDone | Closed | Unknown
RUN_EVENTS: EventKinds[RunEvent] = EventKinds(get_args(RunEvent))
