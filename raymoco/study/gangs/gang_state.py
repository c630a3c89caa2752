"""Which gangs stand, what each of them runs, and when it was last heard of.

Pure bookkeeping on the broker's side: no actor is called here, and no clock but the one passed in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STARTS = 3  # without a trial ended or an epoch done; then a gang is closed


@dataclass
class Attempt:
    """What a gang is at: a trial, which attempt at it, since when, and its last sign of life."""

    trial_id: str
    attempt: int
    began: float
    heard: float = 0.0

    def __post_init__(self) -> None:
        self.heard = self.heard or self.began


@dataclass
class Gang:
    """One gang through all its incarnations.

    A group of workers that is started again is a new incarnation of the same gang; what an older
    one says no longer counts.
    """

    name: str
    incarnation: str = ""  # empty: none stands at the moment
    workers: int = 1
    handles: dict[int, Any] = field(default_factory=dict)
    work: Attempt | None = None
    starts: int = 0
    crashes: int = 0  # of what started it
    served: int = 0  # trials that this incarnation was given
    closed: str | None = None  # why it was sent home for good

    def rise(self, incarnation: str, workers: int) -> None:
        """Another incarnation is up."""
        self.incarnation, self.workers = incarnation, workers
        self.handles, self.work, self.served = {}, None, 0
        self.starts += 1

    def take(self, work: Attempt) -> None:
        """It has been given a trial."""
        self.work = work
        self.served += 1

    def fall(self, reason: str) -> None:
        """The incarnation is gone. A gang that falls again and again closes."""
        self.incarnation, self.handles, self.work = "", {}, None
        if self.starts >= STARTS:
            self.closed = f"it started {STARTS} times and got nowhere; at last {reason}"

    def crash(self, reason: str) -> None:
        """What started it has failed; it may not even have come up."""
        self.crashes += 1
        if self.crashes >= STARTS and self.closed is None:
            self.closed = f"it could not be started, {STARTS} times; at last {reason}"

    def progressed(self) -> None:
        """A trial ended on it, or an epoch was done: it is sound."""
        self.starts = self.crashes = 0


class GangRegistry:
    """All gangs that have ever said hello, by name."""

    def __init__(self) -> None:
        self._gangs: dict[str, Gang] = {}

    def gang(self, name: str) -> Gang:
        """The gang of this name; a new one if nobody has heard of it."""
        return self._gangs.setdefault(name, Gang(name))

    def all(self) -> list[Gang]:
        """Every gang, in the order in which they were first heard of."""
        return list(self._gangs.values())

    @property
    def standing(self) -> list[Gang]:
        """The gangs that can be given a trial, now or once they have ended theirs."""
        return [gang for gang in self.all() if gang.incarnation]

    def at(self, trial_id: str, attempt: int | None = None) -> Gang | None:
        """The gang that is at an attempt of a trial, at any if none is named."""
        for gang in self._gangs.values():
            work = gang.work
            if work and work.trial_id == trial_id and attempt in (None, work.attempt):
                return gang
        return None

    def heard(self, trial_id: str, attempt: int, now: float) -> None:
        """A sign of life of whoever is at this attempt."""
        gang = self.at(trial_id, attempt)
        if gang is not None and gang.work is not None:
            gang.work.heard = now

    def progressed(self, trial_id: str) -> None:
        """Whoever is at this trial is sound."""
        gang = self.at(trial_id)
        if gang is not None:
            gang.progressed()
