"""The events of a sweep's journal, and the states that a trial passes through.

In the file an event is a JSON object with its `kind` and its fields: both are a contract between
versions. A new field needs a default, or `complete`, for journals without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias, get_args

from raymoco.event_log import Begun, Closed, Event, EventKinds, Unknown, count_points
from raymoco.metrics import Row


class TrialState(StrEnum):
    """The state of a trial; its text is in trials.csv, the journal and MLflow."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"  # a member of a population, between two rounds
    COMPLETED = "completed"
    PRUNED = "pruned"  # by a scheduler
    STOPPED = "stopped"  # by Ctrl-C or the budget
    FAILED = "failed"
    ABANDONED = "abandoned"  # only in the broker: the driver gave up, and a resume can continue it


# in the order of tables
ENDED = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.STOPPED, TrialState.FAILED)


class TrialPhase(StrEnum):
    """The purpose of an ablation's trial."""

    MAIN = ""  # compared with others; also all trials of a search
    TUNE = "tune"  # tunes its cell before the comparison


class TrialKind(StrEnum):
    """The purpose of a trial, in MLflow's tag `raymoco.kind`."""

    TRIAL = "trial"
    CONFIRMATION = "confirmation"  # of a search's best, on other seeds
    TUNE = "tune"


class GangState(StrEnum):
    """The last known state of a gang."""

    UP = "up"
    LOST = "lost"
    CLOSED = "closed"


REPEATED = ("proposal", "repeat", "repeats")  # the fields of a training that is one of several


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposed(Event):
    """A trial was proposed: the values that it varies, and its config as YAML.

    With `repeats` above 1 it is training number `repeat` of so many of a search's `proposal`.
    """

    kind: ClassVar[str] = "proposed"

    trial_id: str
    values: dict[str, Any]
    seed: int
    cell: str
    phase: TrialPhase = TrialPhase.MAIN
    config: str = ""
    proposal: str = ""
    repeat: int = 0
    repeats: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The event as it is written to the file; without repeats as version 0.1 wrote it."""
        written = Event.to_dict(self)
        if not self.proposal:
            written = {key: written[key] for key in written if key not in REPEATED}
        return written


@dataclass(frozen=True, kw_only=True, slots=True)
class Assigned(Event):
    """A gang begins an attempt at a trial."""

    kind: ClassVar[str] = "assigned"

    trial_id: str
    attempt: int
    gang: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported(Event):
    """A trial has trained an epoch; `checkpoint` is the path of its checkpoint, if it wrote one."""

    kind: ClassVar[str] = "report"

    trial_id: str
    row: Row
    checkpoint: str | None

    @property
    def points(self) -> int:
        """The number of metric values in it."""
        return count_points(self.row)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retried(Event):
    """An attempt has failed and will be followed by another one."""

    kind: ClassVar[str] = "retry"

    trial_id: str
    attempt: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Paused(Event):
    """A member of a population has finished its round."""

    kind: ClassVar[str] = "paused"

    trial_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed(Event):
    """A member of a population continues from another member's checkpoint, with other values."""

    kind: ClassVar[str] = "changed"

    trial_id: str
    epoch: int
    donor: str
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracked(Event):
    """MLflow has created a run for a trial. It is not delivered to MLflow."""

    kind: ClassVar[str] = "tracked"
    delivered: ClassVar[bool] = False

    trial_id: str
    run_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended(Event):
    """A trial has ended; `state` is one of ENDED."""

    kind: ClassVar[str] = "ended"

    trial_id: str
    state: TrialState
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped(Event):
    """A proposal ends as `state` after this trial; its further repeats are not trained."""

    kind: ClassVar[str] = "dropped"

    trial_id: str
    state: TrialState
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged(Event):
    """A line for the log of a trial. It is not in the journal."""

    kind: ClassVar[str] = "text"

    trial_id: str
    line: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GangUp(Event):
    """The workers of a gang have started."""

    kind: ClassVar[str] = "gang_up"

    gang: str
    workers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GangLost(Event):
    """The workers of a gang have died or hang; they may be restarted."""

    kind: ClassVar[str] = "gang_lost"

    gang: str
    reason: str


# version 0.1 wrote no `orderly`: these two reasons meant it
ORDERLY_IN_0_1 = ("no trial is left for it", "the sweep is over")


@dataclass(frozen=True, kw_only=True, slots=True)
class GangClosed(Event):
    """A gang is not restarted; `orderly`: because it has nothing more to do."""

    kind: ClassVar[str] = "gang_closed"

    gang: str
    reason: str
    orderly: bool

    @classmethod
    def complete(cls, values: dict[str, Any]) -> None:
        """Add the fields that an older version did not write."""
        values.setdefault("orderly", values.get("reason") in ORDERLY_IN_0_1)


TrialEvent: TypeAlias = (
    Proposed | Assigned | Reported | Retried | Paused | Changed | Tracked | Ended | Dropped | Logged
)
GangEvent: TypeAlias = GangUp | GangLost | GangClosed
SweepEvent: TypeAlias = Begun | TrialEvent | GangEvent | Closed | Unknown
SWEEP_EVENTS: EventKinds[SweepEvent] = EventKinds(get_args(SweepEvent))
