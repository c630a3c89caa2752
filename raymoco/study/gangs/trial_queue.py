"""Trials as the broker holds them: submitted, waiting, running, tried again, ended.

Pure bookkeeping. Failures are counted here, by trial: an attempt that failed is followed by another
one from the last checkpoint, and whatever the old one still says is not heard any more.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from raymoco.event_log import Event
from raymoco.metrics import Row
from raymoco.study.journal.ledger import ended_event

ABANDONED = "abandoned"  # the sweep cannot go on, but a resume can: not an end


@dataclass(frozen=True)
class Assignment:
    """What a gang is asked to run: a resolved config, where to keep checkpoints, where to go on.

    `until`: the epoch after which the trial pauses for another attempt; None: it runs to its end.
    `failures` are the attempts that have failed so far, `spent` the seconds that all have taken.
    `rows` by epoch are what was heard of it before: told again, they are no news.
    """

    trial_id: str
    attempt: int
    config: dict[str, Any]
    folder: str
    resume_from: str | None = None
    until: int | None = None
    failures: int = 0
    spent: float = 0.0
    rows: dict[int, Row] = field(default_factory=dict)


@dataclass
class QueuedTrial:
    """One submitted trial: its reports not yet fetched, and its end."""

    assignment: Assignment
    rows: deque[Row] = field(default_factory=deque)
    state: str = "waiting"
    epoch: int = 0  # the last that was reported
    spent: float = 0.0  # seconds of the attempts before this one

    @property
    def ended(self) -> bool:
        """Whether nothing more is expected of it."""
        return self.state not in ("waiting", "running", "paused")


class TrialQueue:
    """All trials of a sweep that were submitted, and the events that they and the gangs make.

    Args:
        max_failures: how often a trial is tried again.
    """

    def __init__(self, max_failures: int) -> None:
        self._max_failures = max_failures
        self._queue: dict[str, QueuedTrial] = {}
        self._waiting: deque[QueuedTrial] = deque()
        self._events: list[Event] = []
        self._forgotten = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def __getitem__(self, trial_id: str) -> QueuedTrial:
        return self._queue[trial_id]

    def get(self, trial_id: str) -> QueuedTrial | None:
        """The ticket of a trial, None if its client never came so far as to submit it."""
        return self._queue.get(trial_id)

    @property
    def open(self) -> list[QueuedTrial]:
        """Those that have not ended."""
        return [queued for queued in self._queue.values() if not queued.ended]

    @property
    def waits(self) -> bool:
        """Whether one could be handed out."""
        while self._waiting and self._waiting[0].state != "waiting":  # canceled meanwhile
            self._waiting.popleft()
        return bool(self._waiting)

    def submit(self, assignment: Assignment) -> QueuedTrial:
        """Queue a trial. Another submission of a known trial id replaces its ticket."""
        queued = self._queue[assignment.trial_id] = QueuedTrial(
            assignment, epoch=max(assignment.rows, default=0), spent=assignment.spent
        )
        self._waiting.append(queued)
        self.notify()
        return queued

    def hand_out(self, gang: str) -> Assignment | None:
        """The next one that waits, for a gang to run."""
        if not self.waits:
            return None
        queued = self._waiting.popleft()
        queued.state = "running"
        work = queued.assignment
        event = {"event": "assigned", "trial_id": work.trial_id, "attempt": work.attempt}
        self.note({**event, "gang": gang})
        return work

    def report(self, trial_id: str, row: Row, checkpoint: str | None) -> bool:
        """Take an epoch's row; whether it is a new one."""
        queued, epoch = self._queue[trial_id], int(row["epoch"])
        if checkpoint:
            queued.assignment = replace(queued.assignment, resume_from=checkpoint)
        if epoch <= queued.epoch:  # another attempt repeats what the one before had reported
            return False
        queued.epoch = epoch
        queued.rows.append(row)
        self.note({"event": "report", "trial_id": trial_id, "row": row, "checkpoint": checkpoint})
        return True

    def fail(
        self, trial_id: str, attempt: int, reason: str, *, seconds: float, lasting: bool
    ) -> bool:
        """Count a failed attempt, which took some seconds; whether it was the trial's last.

        Args:
            lasting: another attempt would fail alike.
        """
        queued = self._queue[trial_id]
        work = queued.assignment
        if queued.state != "running" or attempt != work.attempt:
            return False
        queued.spent += seconds
        if lasting or work.failures >= self._max_failures:
            failures = work.failures + 1
            self.end(queued, "failed", reason if failures == 1 else f"{reason} ({failures} times)")
            return True
        queued.assignment = replace(work, attempt=attempt + 1, failures=work.failures + 1)
        queued.state = "waiting"
        self.note({"event": "retry", "trial_id": trial_id, "attempt": attempt, "reason": reason})
        self._waiting.appendleft(queued)
        self.notify()
        return False

    def pause(self, queued: QueuedTrial) -> None:
        """A trial has come as far as it was asked to."""
        queued.state = "paused"
        self.note({"event": "paused", "trial_id": queued.assignment.trial_id})

    def end(self, queued: QueuedTrial, state: str, reason: str) -> None:
        """A trial is over."""
        queued.state = state
        self.note_end(queued.assignment.trial_id, state, reason)

    def note_end(self, trial_id: str, state: str, reason: str) -> None:
        """The event of a trial's end."""
        self.note(ended_event(trial_id, state, reason))

    def note(self, event: Event) -> None:
        """An event for the driver."""
        self._events.append({"time": time.time(), **event})  # when it happened, not when written
        self.notify()

    def news(self, since: int) -> list[Event]:
        """Events from number `since` on; the older ones have been read and are forgotten."""
        del self._events[: max(0, since - self._forgotten)]
        self._forgotten = max(since, self._forgotten)
        return list(self._events)

    def notify(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait for changes until the condition holds or the time is over."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                return
