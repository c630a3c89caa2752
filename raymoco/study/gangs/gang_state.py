"""Which gangs are up, what each of them runs, and when it last gave a sign of life.

Only bookkeeping on the broker's side: it calls no actor, and its callers pass the time in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STARTS = 3  # so many in a row without an epoch finished or a trial ended close a gang


@dataclass
class Attempt:
    """What a gang works on: an attempt at a trial, since when, and its last sign of life."""

    trial_id: str
    attempt: int
    began: float
    heard: float = 0.0

    def __post_init__(self) -> None:
        self.heard = self.heard or self.began


@dataclass
class Gang:
    """One gang through all its incarnations.

    A group of workers that is started again is a new incarnation of the same gang; messages of an
    older incarnation are ignored.
    """

    name: str
    incarnation: str = ""  # empty: no workers are up
    workers: int = 1
    handles: dict[int, Any] = field(default_factory=dict)
    work: Attempt | None = None
    starts: int = 0
    crashes: int = 0  # of the trainer that starts its workers
    served: int = 0  # trials that this incarnation was given
    closed: str | None = None  # why it is not started again
    orderly: bool = False  # closed because it has nothing more to do

    def rise(self, incarnation: str, workers: int) -> None:
        """A new incarnation is up."""
        self.incarnation, self.workers = incarnation, workers
        self.handles, self.work, self.served = {}, None, 0
        self.starts += 1

    def take(self, work: Attempt) -> None:
        """It is given a trial."""
        self.work = work
        self.served += 1

    def fall(self, reason: str) -> None:
        """The incarnation is gone. After too many in a row that achieved nothing, it is closed."""
        self.incarnation, self.handles, self.work = "", {}, None
        if self.starts >= STARTS:
            self.closed = (
                f"failed {STARTS} times in a row without finishing an epoch; last error: {reason}"
            )

    def crash(self, reason: str) -> None:
        """The trainer that starts its workers has failed, perhaps before any was up."""
        self.crashes += 1
        if self.crashes >= STARTS and self.closed is None:
            self.closed = f"failed to start {STARTS} times in a row; last error: {reason}"

    def progressed(self) -> None:
        """It finished an epoch or a trial: it works, and its failures are forgotten."""
        self.starts = self.crashes = 0


class GangRegistry:
    """All gangs that were ever up, by name."""

    def __init__(self) -> None:
        self._gangs: dict[str, Gang] = {}

    def gang(self, name: str) -> Gang:
        """The gang of this name; a new one if there is none yet."""
        return self._gangs.setdefault(name, Gang(name))

    def all(self) -> list[Gang]:
        """Every gang, in the order of their first appearance."""
        return list(self._gangs.values())

    @property
    def standing(self) -> list[Gang]:
        """The gangs whose workers are up: they take a trial now, or when theirs has ended."""
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
