"""The state of the gangs: which ones run, their trials, and their last sign of life.

Only bookkeeping for the broker: it calls no actor, and its callers pass the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STARTS = 3  # after so many in a row without a finished epoch or trial a gang is closed


@dataclass
class Attempt:
    """An attempt of a gang at a trial, with its start and its last sign of life."""

    trial_id: str
    attempt: int
    began: float
    heard: float = 0.0

    def __post_init__(self) -> None:
        self.heard = self.heard or self.began


@dataclass
class Gang:
    """One gang through all its incarnations.

    A restarted group of workers is a new incarnation of the same gang; messages of an older
    incarnation are ignored.
    """

    name: str
    incarnation: str = ""  # empty: no workers run
    workers: int = 1
    handles: dict[int, Any] = field(default_factory=dict)
    work: Attempt | None = None
    starts: int = 0
    crashes: int = 0  # of the trainer that starts its workers
    served: int = 0  # trials that this incarnation received
    closed: str | None = None  # why it is not restarted
    orderly: bool = False  # closed because it has nothing more to do

    def rise(self, incarnation: str, workers: int) -> None:
        """Record a new incarnation."""
        self.incarnation, self.workers = incarnation, workers
        self.handles, self.work, self.served = {}, None, 0
        self.starts += 1

    def take(self, work: Attempt) -> None:
        """Record that it got a trial."""
        self.work = work
        self.served += 1

    def fall(self, reason: str) -> None:
        """Record the loss of the incarnation; close the gang after too many without progress."""
        self.incarnation, self.handles, self.work = "", {}, None
        if self.starts >= STARTS:
            self.closed = (
                f"failed {STARTS} times in a row without finishing an epoch; last error: {reason}"
            )

    def crash(self, reason: str) -> None:
        """Record that the trainer that starts its workers has failed, perhaps before any ran."""
        self.crashes += 1
        if self.crashes >= STARTS and self.closed is None:
            self.closed = f"failed to start {STARTS} times in a row; last error: {reason}"

    def progressed(self) -> None:
        """Record progress, an epoch or a trial, and reset the count of failures."""
        self.starts = self.crashes = 0


class GangRegistry:
    """All gangs that have ever run, by name."""

    def __init__(self) -> None:
        self._gangs: dict[str, Gang] = {}

    def gang(self, name: str) -> Gang:
        """Return the gang of this name; create it if there is none yet."""
        return self._gangs.setdefault(name, Gang(name))

    def all(self) -> list[Gang]:
        """Every gang, in the order of their first appearance."""
        return list(self._gangs.values())

    @property
    def standing(self) -> list[Gang]:
        """The gangs whose workers run: they can take a trial now, or after their present one."""
        return [gang for gang in self.all() if gang.incarnation]

    def at(self, trial_id: str, attempt: int | None = None) -> Gang | None:
        """The gang that runs this attempt at a trial, or any attempt if none is given."""
        for gang in self._gangs.values():
            work = gang.work
            if work and work.trial_id == trial_id and attempt in (None, work.attempt):
                return gang
        return None

    def heard(self, trial_id: str, attempt: int, now: float) -> None:
        """Note a sign of life of the gang that runs this attempt."""
        gang = self.at(trial_id, attempt)
        if gang is not None and gang.work is not None:
            gang.work.heard = now

    def progressed(self, trial_id: str) -> None:
        """Note that the gang that runs this trial works."""
        gang = self.at(trial_id)
        if gang is not None:
            gang.progressed()
