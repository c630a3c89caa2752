"""The broker: an actor between Tune's thin clients and the warm gangs.

Clients submit trials and wait for their reports; gangs ask for the next trial and report; the
driver reads all events in one order. The broker has no name, only a handle that is passed on, so
that two sweeps on one cluster cannot interfere.
"""

from __future__ import annotations

import time
from typing import Any

from raymoco.metrics import Row
from raymoco.study.gangs.answers import Canceled, GangOrder, TrialNews
from raymoco.study.gangs.gang_state import Attempt, Gang, GangRegistry
from raymoco.study.gangs.health import HealthMonitor
from raymoco.study.gangs.phase_gate import SubmissionBarrier
from raymoco.study.gangs.trial_queue import Assignment, TrialQueue
from raymoco.study.journal.events import (
    Ended,
    GangClosed,
    GangLost,
    GangUp,
    Logged,
    SweepEvent,
    TrialState,
)
from raymoco.study.sweepfile.sections import GangConfig

NONE_LEFT = "no trial is left for it"
OVER = "the sweep is over"


class Broker:
    """Runs as an asynchronous Ray actor: a method that waits does not block the others.

    Args:
        slots: how many clients there will be; no trial is handed out until each has submitted one.
        rules: how often a trial is retried, and how long a gang may be silent.
    """

    def __init__(self, slots: int, rules: GangConfig | None = None) -> None:
        self._rules, self._barrier = rules or GangConfig(), SubmissionBarrier(slots)
        self._queue = TrialQueue(self._rules.max_failures)
        self._registry = GangRegistry()
        self._monitor = HealthMonitor(self._lose, self.silent)
        self._closing = False
        self._ending: tuple[TrialState, str] | None = None
        self._data: Any = None

    # for the driver

    async def hand_data(self, boxed: list[Any]) -> None:
        """Keep a reference to the images; it is in a list so that Ray does not fetch them here."""
        self._data = boxed

    async def open_gate(self, slots: int, last: bool = False) -> None:
        """Begin a phase: hold trials back until this many are submitted.

        In the last phase gangs for which no trial is left are closed.
        """
        self._barrier, self._ending = SubmissionBarrier(slots, last), None
        self._queue.notify()

    async def lift_gate(self, handed: int) -> None:
        """Set the total number of trials of this phase; some may not be submitted yet."""
        self._barrier.announce(handed)
        self._queue.notify()

    async def lower_gate(self, slots: int) -> None:
        """Hold trials back only until so many are submitted: others come when one has ended."""
        self._barrier.lower(slots)
        self._queue.notify()

    async def events(self, since: int, timeout_s: float) -> list[SweepEvent]:
        """Return the events from number `since` on, waiting for the first; drop older ones."""
        await self._queue.wait_until(lambda: bool(self._queue.news(since)), timeout_s)
        return self._queue.news(since)

    async def stop_all(self, state: TrialState, reason: str) -> None:
        """End every trial that is open, or is submitted later in this phase, as `state`.

        Gangs are told at their next report or check.
        """
        self._ending = (state, reason)
        for queued in self._queue.open:
            self._queue.end(queued, state, reason)

    async def abandon(self) -> None:
        """Drop every open trial without ending it: a resume continues them."""
        for queued in self._queue.open:
            queued.state = TrialState.ABANDONED
        self._queue.notify()

    async def close(self) -> None:
        """Close every gang as soon as its trial has ended."""
        self._closing = True
        self._queue.notify()

    async def starts_again(self, name: str, error: str | None) -> bool:
        """Whether the driver must restart a gang whose trainer has ended.

        Args:
            error: what ended it; None if the broker told it to end.
        """
        gang = self._registry.gang(name)
        if error is not None:
            await self._lose(name, gang.incarnation, error)
            gang.crash(error)
        if gang.closed is None and self._surplus(gang):
            self._close_gang(gang, NONE_LEFT, orderly=True)
        return gang.closed is None and not self._closing

    async def stranded(self) -> str | None:
        """Why no gang is left for the waiting trials; `None` while a gang is still running."""
        gangs = self._registry.all()
        if not self._queue.open or any(gang.closed is None for gang in gangs):
            return None
        lost = [f"{gang.name}: {gang.closed}" for gang in gangs if not gang.orderly]
        return "; ".join(lost) or "all gangs had shut down"

    # for the clients

    async def submit(self, assignment: Assignment) -> None:
        """Queue a trial. A second submission of the same trial id replaces the first."""
        self._barrier.arrive()
        queued = self._queue.submit(assignment)
        if self._ending is not None:
            self._queue.end(queued, *self._ending)

    async def next_row(self, trial_id: str, timeout_s: float) -> TrialNews:
        """Return a trial's next report, its end after the last, or neither after `timeout_s`."""
        queued = self._queue[trial_id]
        await self._queue.wait_until(lambda: bool(queued.rows) or queued.ended, timeout_s)
        if queued.rows:
            return TrialNews(row=queued.rows.popleft())
        return TrialNews(end=queued.state if queued.ended else None)

    async def cancel(self, trial_id: str, state: TrialState, reason: str) -> Canceled:
        """End a trial as `state` unless it has ended already."""
        queued = self._queue.get(trial_id)
        if queued is None:  # its client was lost before submitting it
            state, reason = self._ending or (state, reason)
            self._barrier.arrive()
            self._queue.note(Ended(trial_id=trial_id, state=state, reason=reason))
            return Canceled(state, [])
        if not queued.ended:
            self._queue.end(queued, state, reason)
        return Canceled(queued.state, list(queued.rows))

    # for the gangs

    async def hello(
        self,
        name: str,
        incarnation: str,
        rank: int,
        workers: int,
        boxed: list[Any],
        place: str,
        problem: str | None = None,
    ) -> Any:
        """Register a worker of a gang.

        Args:
            incarnation: the same for all workers of a group, and new at each start of the group.
            boxed: the worker's actor handle, in a list; empty in a test.
            place: the worker's host and process, for messages.
            problem: why it cannot work on its node, or None.
        Returns:
            The reference to the images, in a list; None if the gang is closed.
        """
        gang = self._registry.gang(name)
        if gang.closed is not None:
            return None
        if gang.incarnation != incarnation:
            # the pings may not have noticed yet that the previous incarnation is gone
            await self._lose(name, gang.incarnation, "its workers were restarted")
            gang.rise(incarnation, workers)
            self._queue.note(GangUp(gang=name, workers=workers))
        if boxed:
            gang.handles[rank] = boxed[0]
            self._monitor.follow(gang, rank, boxed[0], place)
        if problem is not None:
            self._close_gang(gang, problem, orderly=False)
        return self._data

    async def next_assignment(
        self, name: str, incarnation: str, timeout_s: float
    ) -> Assignment | GangOrder:
        """Return the next trial to run; after `timeout_s` without one, the order to wait."""
        gang = self._registry.gang(name)
        if gang.incarnation != incarnation or gang.closed is not None:
            return GangOrder.CLOSE
        gang.work = None
        used_up = self._rules.isolation == "fresh_gang" and gang.served > 0
        await self._queue.wait_until(
            lambda: self._closing or self._hands_out or used_up or self._surplus(gang), timeout_s
        )
        if gang.incarnation != incarnation or gang.closed is not None:
            return GangOrder.CLOSE
        if used_up:
            gang.incarnation = ""  # it is restarted if there are more trials
        elif self._surplus(gang):
            self._close_gang(gang, NONE_LEFT, orderly=True)
        elif self._hands_out and (work := self._queue.hand_out(name)) is not None:
            gang.take(Attempt(work.trial_id, work.attempt, time.monotonic()))
            return work
        elif not self._closing:
            return GangOrder.WAIT
        else:
            self._close_gang(gang, OVER, orderly=True)
        return GangOrder.CLOSE

    async def report(self, trial_id: str, attempt: int, row: Row, checkpoint: str | None) -> bool:
        """Record an epoch's row; return whether the gang must stop this trial."""
        if await self.check(trial_id, attempt):
            return True
        if self._queue.report(trial_id, row, checkpoint):
            self._registry.progressed(trial_id)
        queued = self._queue[trial_id]
        if int(row["epoch"]) == queued.assignment.config["epochs"]:
            # not in finish(): a scheduler that acts on the last row must find that the trial has
            # ended
            self._queue.end(queued, TrialState.COMPLETED, "")
        elif int(row["epoch"]) == queued.assignment.until:
            self._queue.pause(queued)
            return True
        return False

    async def check(self, trial_id: str, attempt: int) -> bool:
        """Record a sign of life between reports; return whether the gang must stop this trial."""
        self._registry.heard(trial_id, attempt, time.monotonic())
        queued = self._queue[trial_id]
        return queued.ended or attempt != queued.assignment.attempt

    async def text(self, trial_id: str, line: str) -> None:
        """Record a line for the log of a trial."""
        self._queue.note(Logged(trial_id=trial_id, line=line))

    async def finish(self, trial_id: str, attempt: int, state: TrialState, reason: str) -> None:
        """Record that a gang has finished a trial. A state that was set from outside is kept."""
        queued = self._queue[trial_id]
        running = queued.state == TrialState.RUNNING  # a paused trial was stopped on purpose
        if running and attempt == queued.assignment.attempt:
            self._queue.end(queued, state, reason)
        self._registry.progressed(trial_id)

    async def fail(self, trial_id: str, attempt: int, reason: str, lasting: bool) -> None:
        """Record a failed attempt; `lasting`: another one would fail for the same reason."""
        gang = self._registry.at(trial_id, attempt)
        if gang is None:
            return
        if len(gang.handles) > 1:
            # when one of several workers dies, the others fail first, with a less helpful error
            reason = await self._monitor.dead(gang) or reason
        self._attempt_failed(gang, gang.work, reason, lasting)

    async def give_up(self, trial_id: str, attempt: int, reason: str) -> None:
        """Close the gang of an attempt: its surroundings do not do, such as a full disk.

        The trial waits for another gang, or for a resume.
        """
        gang = self._registry.at(trial_id, attempt)
        if gang is not None:
            self._queue.put_back(trial_id)
            gang.work = None
            self._close_gang(gang, reason, orderly=False)

    # for the health monitor

    async def _lose(self, name: str, incarnation: str, reason: str) -> None:
        """Record the loss of an incarnation of a gang: its trial waits for another attempt."""
        gang = self._registry.gang(name)
        if not incarnation or gang.incarnation != incarnation:
            return
        self._attempt_failed(gang, gang.work, reason, lasting=False)
        gang.fall(reason)
        self._queue.note(GangLost(gang=name, reason=reason))
        if gang.closed is not None:
            self._close_gang(gang, gang.closed, orderly=False)

    def silent(self) -> list[tuple[Gang, str]]:
        """Return the gangs that were silent for too long; end trials that took too long."""
        now, silent = time.monotonic(), []
        total, stall = self._rules.trial_timeout_s, self._rules.stall_timeout_s
        for gang in self._registry.all():
            work = gang.work
            if work is None:
                continue
            if total and self._queue[work.trial_id].spent + now - work.began > total:
                self._attempt_failed(gang, work, f"it took longer than {total:g} s", lasting=True)
            if now - work.heard > stall:
                silent.append((gang, f"nothing was heard of it for {stall:g} s"))
        return silent

    def _attempt_failed(self, gang: Gang, work: Attempt | None, reason: str, lasting: bool) -> None:
        if work is None:
            return
        seconds = time.monotonic() - work.began
        if self._queue.fail(work.trial_id, work.attempt, reason, seconds, lasting=lasting):
            gang.progressed()  # the trial has ended, and it may have caused the failure

    def _close_gang(self, gang: Gang, reason: str, *, orderly: bool) -> None:
        gang.closed, gang.orderly, gang.incarnation = reason, orderly, ""
        self._queue.note(GangClosed(gang=gang.name, reason=reason, orderly=orderly))

    @property
    def _hands_out(self) -> bool:
        return self._barrier.open and self._queue.waits

    def _surplus(self, gang: Gang) -> bool:
        """Whether the other gangs are enough for the trials that are left."""
        needed = self._barrier.needed(len(self._queue.open))
        others = sum(other is not gang for other in self._registry.standing)
        return needed is not None and others >= needed
