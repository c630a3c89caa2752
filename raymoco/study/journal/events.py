"""The events of a sweep's journal, and the states that a trial passes through.

In the file an event is a JSON object with its `kind` and its fields: both are a contract with
journals of other versions. A new field needs a default, or `complete`, for journals without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias, get_args

from raymoco.event_log import Begun, Closed, Event, EventKinds, Unknown, count_points
from raymoco.metrics import Row


class TrialState(StrEnum):
    """Where a trial stands; as text it is what trials.csv, the journal and MLflow say."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"  # a member of a population, between two rounds
    COMPLETED = "completed"
    PRUNED = "pruned"  # by a scheduler
    STOPPED = "stopped"  # by Ctrl-C or the budget
    FAILED = "failed"
    ABANDONED = "abandoned"  # for the broker alone: this sweep cannot go on, but a resume can


# in the order of tables
ENDED = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.STOPPED, TrialState.FAILED)


class TrialPhase(StrEnum):
    """What a trial of an ablation is for."""

    MAIN = ""  # to be compared; all trials of a search, too
    TUNE = "tune"  # to tune its cell, before any is compared


class TrialKind(StrEnum):
    """What a trial is for, as MLflow's tag `raymoco.kind` says it."""

    TRIAL = "trial"
    CONFIRMATION = "confirmation"  # of a search's best, on other seeds
    TUNE = "tune"


class GangState(StrEnum):
    """What was last heard of a gang."""

    UP = "up"
    LOST = "lost"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposed(Event):
    """A trial is to be run: what it varies, and the config that follows, as YAML."""

    kind: ClassVar[str] = "proposed"

    trial_id: str
    values: dict[str, Any]
    seed: int
    cell: str
    phase: TrialPhase = TrialPhase.MAIN
    config: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assigned(Event):
    """A gang begins an attempt at a trial."""

    kind: ClassVar[str] = "assigned"

    trial_id: str
    attempt: int
    gang: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported(Event):
    """A trial has trained an epoch; `checkpoint` is the path of the one that it wrote then."""

    kind: ClassVar[str] = "report"

    trial_id: str
    row: Row
    checkpoint: str | None

    @property
    def points(self) -> int:
        """How many values of metrics it brings."""
        return count_points(self.row)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retried(Event):
    """An attempt has failed, and another one will follow."""

    kind: ClassVar[str] = "retry"

    trial_id: str
    attempt: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Paused(Event):
    """A member of a population has come as far as its round goes."""

    kind: ClassVar[str] = "paused"

    trial_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed(Event):
    """A member of a population goes on from another one's checkpoint, with other values."""

    kind: ClassVar[str] = "changed"

    trial_id: str
    epoch: int
    donor: str
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracked(Event):
    """MLflow has made a run for a trial; nothing that MLflow would have to be told."""

    kind: ClassVar[str] = "tracked"
    delivered: ClassVar[bool] = False

    trial_id: str
    run_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended(Event):
    """A trial is over; `state` is one of ENDED."""

    kind: ClassVar[str] = "ended"

    trial_id: str
    state: TrialState
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged(Event):
    """A line for the log of a trial. It does not go into the journal."""

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
    """The workers of a gang have died or hang; they may be started again."""

    kind: ClassVar[str] = "gang_lost"

    gang: str
    reason: str


# what `orderly` says today, version 0.1 said with these two reasons
ORDERLY_IN_0_1 = ("no trial is left for it", "the sweep is over")


@dataclass(frozen=True, kw_only=True, slots=True)
class GangClosed(Event):
    """A gang is not started again; `orderly`: because it has nothing more to do."""

    kind: ClassVar[str] = "gang_closed"

    gang: str
    reason: str
    orderly: bool

    @classmethod
    def complete(cls, values: dict[str, Any]) -> None:
        """Fill in, by field, what an older version did not write."""
        values.setdefault("orderly", values.get("reason") in ORDERLY_IN_0_1)


TrialEvent: TypeAlias = (
    Proposed | Assigned | Reported | Retried | Paused | Changed | Tracked | Ended | Logged
)
GangEvent: TypeAlias = GangUp | GangLost | GangClosed
SweepEvent: TypeAlias = Begun | TrialEvent | GangEvent | Closed | Unknown
SWEEP_EVENTS: EventKinds[SweepEvent] = EventKinds(get_args(SweepEvent))
