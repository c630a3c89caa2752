"""The trials in the broker: submitted, waiting, running, retried, ended.

Only bookkeeping, no calls. It counts failures per trial: a failed attempt is followed by another
one from the last checkpoint, and late reports of the failed one are ignored.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from raymoco.metrics import Row
from raymoco.study.journal.events import (
    Assigned,
    Ended,
    Paused,
    Reported,
    Retried,
    SweepEvent,
    TrialState,
)

# clients wait for a trial in these states only; `abandoned` is not an end, but ends the waiting
OPEN = (TrialState.WAITING, TrialState.RUNNING, TrialState.PAUSED)


@dataclass(frozen=True)
class Assignment:
    """A trial for a gang: a resolved config, a folder for checkpoints, a checkpoint to start from.

    `until` is the epoch after which the trial pauses; None: it trains to its end. `failures` is the
    number of failed attempts so far, `spent` the seconds of all attempts. `rows` by epoch are known
    from an earlier driver: repeated reports of them are skipped. `repeat` counts the trainings of a
    search's proposal: a scheduler judges the first one only.
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
    repeat: int = 0


@dataclass
class QueuedTrial:
    """A submitted trial: its state, and the reports that its client has not fetched yet."""

    assignment: Assignment
    rows: deque[Row] = field(default_factory=deque)
    state: TrialState = TrialState.WAITING
    epoch: int = 0  # the last reported epoch
    spent: float = 0.0  # seconds of the attempts before this one

    @property
    def ended(self) -> bool:
        """Whether no gang will work on it again."""
        return self.state not in OPEN


class TrialQueue:
    """All submitted trials of a sweep, and the events that the driver has not read yet.

    Args:
        max_failures: how many failed attempts of a trial are retried.
    """

    def __init__(self, max_failures: int) -> None:
        self._max_failures = max_failures
        self._queue: dict[str, QueuedTrial] = {}
        self._waiting: deque[QueuedTrial] = deque()
        self._events: list[SweepEvent] = []
        self._forgotten = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def __getitem__(self, trial_id: str) -> QueuedTrial:
        return self._queue[trial_id]

    def get(self, trial_id: str) -> QueuedTrial | None:
        """Return a submitted trial; None if its client was lost before submitting it."""
        return self._queue.get(trial_id)

    @property
    def open(self) -> list[QueuedTrial]:
        """The trials that have not ended."""
        return [queued for queued in self._queue.values() if not queued.ended]

    @property
    def waits(self) -> bool:
        """Whether a trial could be handed out."""
        while self._waiting and self._waiting[0].state != TrialState.WAITING:  # canceled
            self._waiting.popleft()
        return bool(self._waiting)

    def submit(self, assignment: Assignment) -> QueuedTrial:
        """Queue a trial. A second submission of the same trial id replaces the first."""
        queued = self._queue[assignment.trial_id] = QueuedTrial(
            assignment, epoch=max(assignment.rows, default=0), spent=assignment.spent
        )
        self._waiting.append(queued)
        self.notify()
        return queued

    def hand_out(self, gang: str) -> Assignment | None:
        """Give a gang the next waiting trial; None if none waits."""
        if not self.waits:
            return None
        queued = self._waiting.popleft()
        queued.state = TrialState.RUNNING
        work = queued.assignment
        self.note(Assigned(trial_id=work.trial_id, attempt=work.attempt, gang=gang))
        return work

    def report(self, trial_id: str, row: Row, checkpoint: str | None) -> bool:
        """Record an epoch's row; return whether the epoch is new."""
        queued, epoch = self._queue[trial_id], int(row["epoch"])
        if checkpoint:
            queued.assignment = replace(queued.assignment, resume_from=checkpoint)
        if epoch <= queued.epoch:  # a new attempt repeats the epochs since its checkpoint
            return False
        queued.epoch = epoch
        queued.rows.append(row)
        self.note(Reported(trial_id=trial_id, row=row, checkpoint=checkpoint))
        return True

    def fail(
        self, trial_id: str, attempt: int, reason: str, seconds: float, *, lasting: bool
    ) -> bool:
        """Count a failed attempt.

        Args:
            seconds: the duration of the attempt.
            lasting: whether another attempt would fail for the same reason.
        Returns:
            Whether the trial has failed; otherwise it waits for its next attempt.
        """
        queued = self._queue[trial_id]
        work = queued.assignment
        if queued.state != TrialState.RUNNING or attempt != work.attempt:
            return False
        queued.spent += seconds
        if lasting or work.failures >= self._max_failures:
            failures = work.failures + 1
            times = "" if failures == 1 else f" ({failures} times)"
            self.end(queued, TrialState.FAILED, reason + times)
            return True
        queued.assignment = replace(work, attempt=attempt + 1, failures=work.failures + 1)
        queued.state = TrialState.WAITING
        self.note(Retried(trial_id=trial_id, attempt=attempt, reason=reason))
        self._waiting.appendleft(queued)
        self.notify()
        return False

    def put_back(self, trial_id: str) -> None:
        """Let a trial wait for its next attempt; the one that it had does not count as failed."""
        queued = self._queue[trial_id]
        if queued.state == TrialState.RUNNING:
            work = queued.assignment
            queued.assignment = replace(work, attempt=work.attempt + 1)
            queued.state = TrialState.WAITING
            self._waiting.appendleft(queued)
            self.notify()

    def pause(self, queued: QueuedTrial) -> None:
        """Pause a trial that has reached its `until` epoch."""
        queued.state = TrialState.PAUSED
        self.note(Paused(trial_id=queued.assignment.trial_id))

    def end(self, queued: QueuedTrial, state: TrialState, reason: str) -> None:
        """End a trial."""
        queued.state = state
        self.note(Ended(trial_id=queued.assignment.trial_id, state=state, reason=reason))

    def note(self, event: SweepEvent) -> None:
        """Keep an event for the driver."""
        self._events.append(event)
        self.notify()

    def news(self, since: int) -> list[SweepEvent]:
        """Return the events from number `since` on; drop older ones, which the driver has read."""
        del self._events[: max(0, since - self._forgotten)]
        self._forgotten = max(since, self._forgotten)
        return list(self._events)

    def notify(self) -> None:
        """Wake all callers that wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the condition holds, or until the timeout."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                return
