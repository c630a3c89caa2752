"""The changes to deliver to a store, as data, without calls and without MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from raymoco.event_log import Event, EventKinds
from raymoco.metrics import is_metric

RUNNING = "running"
PARENT = ""


@dataclass(frozen=True)
class Point:
    """One value of one metric, with its event's time, so that a second delivery is identical."""

    name: str
    value: float
    time: float
    step: int


@dataclass
class Change:
    """Additions to one run in a store; merging two changes keeps the later values.

    Args:
        key: the caller's own name for the run, "" for the parent, a trial id for a child.
        time: of the first event, in seconds.
        name: of the run, for the case that it has to be made.
        child: whether it hangs below the parent.
        params, tags: by name; a later tag of a name is the one that counts.
        points: values of metrics, in the order in which they were measured.
        texts: artifacts by their path in the run, with their content.
        files: artifacts by their path in the run, read when they are delivered, if they are there.
        view: of MLflow's comparison page; another store passes it over.
        state: `running`, or the state that it ended in; "" leaves it as it is.
        until: time of the last event; default the first's.
    """

    key: str
    time: float
    name: str = ""
    child: bool = False
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    view: dict[str, Any] | None = None
    state: str = ""
    until: float = 0.0

    def __post_init__(self) -> None:
        self.until = self.until or self.time

    def merge(self, later: Change) -> None:
        """Merge a later change of the same run into this one."""
        self.until = later.until
        self.name = self.name or later.name
        self.child = self.child or later.child
        self.params |= later.params
        self.tags |= later.tags
        self.points += later.points
        self.texts |= later.texts
        self.files |= later.files
        self.view = later.view or self.view
        self.state = later.state or self.state


E = TypeVar("E", bound=Event)


class Translator(Protocol[E]):
    """Reads a journal from its first event on and translates each event for a store."""

    @property
    def kinds(self) -> EventKinds[E]:
        """The kinds of events in the journal."""

    def take(self, event: E) -> list[Change]:
        """Return the changes by an event."""

    def open_runs(self) -> list[str]:
        """Return the keys of the runs that have begun and not ended."""


def points_of(
    row: Mapping[str, float | int], time: float, *, step: int | None = None, first: str = ""
) -> list[Point]:
    """Return the metrics of a row as points.

    Args:
        time: of the event, in seconds.
        step: default the row's epoch.
        first: the metric that leads; MLflow's comparison page opens on what it was given first.
    """
    names = [name for name in (first, *row) if name in row and is_metric(name)]
    at = int(row["epoch"]) if step is None else step
    return [Point(name, float(row[name]), time, at) for name in dict.fromkeys(names)]
