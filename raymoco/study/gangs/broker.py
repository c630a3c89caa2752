"""The broker: an actor between Tune's thin clients and the warm gangs.

Clients submit trials and wait for their reports; gangs ask for the next trial and report; the
driver reads one ordered stream of events. Nobody looks the broker up by name: its handle is passed,
so two sweeps share a cluster in peace.
"""

from __future__ import annotations

import time
from typing import Any

from raymoco.event_log import Event
from raymoco.metrics import Row
from raymoco.study.gangs.gang_state import Attempt, Gang, GangRegistry
from raymoco.study.gangs.health import HealthMonitor
from raymoco.study.gangs.phase_gate import SubmissionBarrier
from raymoco.study.gangs.trial_queue import ABANDONED, Assignment, TrialQueue
from raymoco.study.sweepfile.sections import GangConfig

CLOSE = "close"
NONE_LEFT = "no trial is left for it"
OVER = "the sweep is over"
ONE_EACH = "it has run its trial"
ORDERLY = (NONE_LEFT, OVER)  # nothing to tell people about


class Broker:
    """Runs as an asynchronous Ray actor; every method is a coroutine that never blocks another.

    Args:
        slots: how many clients will stand; nothing is handed out until each has submitted once.
        rules: how often a trial is tried, and how long a gang may be silent.
    """

    def __init__(self, slots: int, rules: GangConfig | None = None) -> None:
        self._rules, self._barrier = rules or GangConfig(), SubmissionBarrier(slots)
        self._queue = TrialQueue(self._rules.max_failures)
        self._registry = GangRegistry()
        self._monitor = HealthMonitor(self._lose, self.silent)
        self._closing = False
        self._ending: tuple[str, str] | None = None
        self._data: Any = None

    # for the driver

    async def hand_data(self, boxed: list[Any]) -> None:
        """Keep a reference to the image handle, in a list so that it is not fetched here."""
        self._data = boxed

    async def open_gate(self, slots: int, last: bool = False) -> None:
        """Another phase begins: wait for this many submissions before the next assignment.

        In the last phase gangs for which no trial is left are sent home.
        """
        self._barrier, self._ending = SubmissionBarrier(slots, last), None
        self._queue.notify()

    async def lift_gate(self, handed: int) -> None:
        """No more trials will come in this phase than these, some of which may be on their way."""
        self._barrier.announce(handed)
        self._queue.notify()

    async def events(self, since: int, timeout_s: float) -> list[Event]:
        """Events from number `since` on, the older ones are forgotten; waits up to `timeout_s`."""
        await self._queue.wait_until(lambda: bool(self._queue.news(since)), timeout_s)
        return self._queue.news(since)

    async def stop_all(self, state: str, reason: str) -> None:
        """End every trial that is not over, or still comes in this phase, as `state`.

        Gangs hear of it at their next report or check.
        """
        self._ending = (state, reason)
        for queued in self._queue.open:
            self._queue.end(queued, state, reason)

    async def abandon(self) -> None:
        """Let go of every trial without ending it: a resume goes on with them."""
        for queued in self._queue.open:
            queued.state = ABANDONED
        self._queue.notify()

    async def close(self) -> None:
        """Send every gang home once it has ended what it runs."""
        self._closing = True
        self._queue.notify()

    async def starts_again(self, name: str, error: str | None) -> bool:
        """Whether the driver shall start a gang once more that is not there any longer.

        Args:
            error: what ended it, or None if it went home as it was told.
        """
        gang = self._registry.gang(name)
        if error is not None:
            await self._lose(name, gang.incarnation, error)
            gang.crash(error)
        if gang.closed is None and self._surplus(gang):
            self._close_gang(gang, NONE_LEFT)
        return gang.closed is None and not self._closing

    async def stranded(self) -> str | None:
        """Why no gang is left for trials that wait; None as long as there is hope."""
        gangs = self._registry.all()
        if not self._queue.open or any(gang.closed is None for gang in gangs):
            return None
        lost = [f"{g.name}: {g.closed}" for g in gangs if g.closed not in ORDERLY]
        return "; ".join(lost) or "all had gone home"

    # for the clients

    async def submit(self, assignment: Assignment) -> None:
        """Queue a trial. Another submission of a known trial id replaces its ticket."""
        self._barrier.arrive()
        queued = self._queue.submit(assignment)
        if self._ending is not None:
            self._queue.end(queued, *self._ending)

    async def next_row(self, trial_id: str, timeout_s: float) -> Row | str | None:
        """The next report of a trial, its end state once all are fetched, or None after a while."""
        queued = self._queue[trial_id]
        await self._queue.wait_until(lambda: bool(queued.rows) or queued.ended, timeout_s)
        if queued.rows:
            return queued.rows.popleft()
        return queued.state if queued.ended else None

    async def cancel(self, trial_id: str, state: str, reason: str) -> tuple[str, list[Row]]:
        """End a trial as `state` unless it has ended already.

        Returns:
            The state that it ended in, and the reports that its client has not fetched.
        """
        queued = self._queue.get(trial_id)
        if queued is None:  # its client never came so far as to submit it
            state, reason = self._ending or (state, reason)
            self._barrier.arrive()
            self._queue.note_end(trial_id, state, reason)
            return state, []
        if not queued.ended:
            self._queue.end(queued, state, reason)
        return queued.state, list(queued.rows)

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
        """A worker of a gang is up; it gets the reference to the image handle, in a list.

        None if the gang is closed.

        Args:
            incarnation: the same for all workers of a group, and new whenever one starts.
            boxed: the worker's own actor handle, in a list; empty in a test.
            place: the worker's host and process, for people.
            problem: why it cannot work where it is, or None.
        """
        gang = self._registry.gang(name)
        if gang.closed is not None:
            return None
        if gang.incarnation != incarnation:
            # the pings may not have noticed yet that the one before is gone
            await self._lose(name, gang.incarnation, "its workers were started anew")
            gang.rise(incarnation, workers)
            self._queue.note({"event": "gang_up", "gang": name, "workers": workers})
        if boxed:
            gang.handles[rank] = boxed[0]
            self._monitor.follow(gang, rank, boxed[0], place)
        if problem is not None:
            self._close_gang(gang, problem)
        return self._data

    async def next_assignment(
        self, name: str, incarnation: str, timeout_s: float
    ) -> Assignment | str | None:
        """The next trial to run, `CLOSE`, or None after a while."""
        gang = self._registry.gang(name)
        if gang.incarnation != incarnation or gang.closed is not None:
            return CLOSE
        gang.work = None
        await self._queue.wait_until(
            lambda: self._closing or self._hands_out or bool(self._goes_home(gang)), timeout_s
        )
        if gang.incarnation != incarnation or gang.closed is not None:
            return CLOSE
        reason = self._goes_home(gang)
        if reason == ONE_EACH:
            gang.incarnation = ""
            return CLOSE
        if reason:
            self._close_gang(gang, reason)
            return CLOSE
        work = self._queue.hand_out(name) if self._hands_out else None
        if work is not None:
            gang.take(Attempt(work.trial_id, work.attempt, time.monotonic()))
            return work
        if not self._closing:
            return None
        self._close_gang(gang, OVER)
        return CLOSE

    async def report(self, trial_id: str, attempt: int, row: Row, checkpoint: str | None) -> bool:
        """Take an epoch's row; answers whether the gang shall stop this trial."""
        if await self.check(trial_id, attempt):
            return True
        if self._queue.report(trial_id, row, checkpoint):
            self._registry.progressed(trial_id)
        queued = self._queue[trial_id]
        if int(row["epoch"]) == queued.assignment.config["epochs"]:
            # here and not in finish(): a scheduler that reads the last row must find the trial over
            self._queue.end(queued, "completed", "")
        elif int(row["epoch"]) == queued.assignment.until:
            self._queue.pause(queued)
            return True
        return False

    async def check(self, trial_id: str, attempt: int) -> bool:
        """A sign of life between reports; answers whether the gang shall stop this trial."""
        self._registry.heard(trial_id, attempt, time.monotonic())
        queued = self._queue[trial_id]
        return queued.ended or attempt != queued.assignment.attempt

    async def text(self, trial_id: str, line: str) -> None:
        """A line for logs/<trial_id>.txt."""
        self._queue.note({"event": "text", "trial_id": trial_id, "line": line})

    async def finish(self, trial_id: str, attempt: int, state: str, reason: str) -> None:
        """The gang is done with a trial; an end that came from outside stands."""
        queued = self._queue[trial_id]
        running = queued.state == "running"  # a paused one has been stopped on purpose
        if running and attempt == queued.assignment.attempt:
            self._queue.end(queued, state, reason)
        self._registry.progressed(trial_id)

    async def fail(self, trial_id: str, attempt: int, reason: str, lasting: bool) -> None:
        """An attempt has failed; `lasting`: another one would fail alike."""
        gang = self._registry.at(trial_id, attempt)
        if gang is None:
            return
        if len(gang.handles) > 1:
            # when one of several workers dies, its peers complain first, and know less
            reason = await self._monitor.dead(gang) or reason
        self._attempt_failed(gang, gang.work, reason, lasting)

    # for the watch

    async def _lose(self, name: str, incarnation: str, reason: str) -> None:
        """An incarnation of a gang is gone; what it ran is tried again elsewhere or later."""
        gang = self._registry.gang(name)
        if not incarnation or gang.incarnation != incarnation:
            return
        self._attempt_failed(gang, gang.work, reason, lasting=False)
        gang.fall(reason)
        self._queue.note({"event": "gang_lost", "gang": name, "reason": reason})
        if gang.closed is not None:
            self._close_gang(gang, gang.closed)

    def silent(self) -> list[tuple[Gang, str]]:
        """The gangs of which nothing has been heard for too long; trials that took too long end."""
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
        last = self._queue.fail(
            work.trial_id, work.attempt, reason, seconds=seconds, lasting=lasting
        )
        if last:
            gang.progressed()  # the trial is over, and it may have been at fault

    def _close_gang(self, gang: Gang, reason: str) -> None:
        gang.closed, gang.incarnation = reason, ""
        self._queue.note({"event": "gang_closed", "gang": gang.name, "reason": reason})

    @property
    def _hands_out(self) -> bool:
        return self._barrier.open and self._queue.waits

    def _goes_home(self, gang: Gang) -> str:
        if self._rules.isolation == "fresh_gang" and gang.served:
            return ONE_EACH
        return NONE_LEFT if self._surplus(gang) else ""

    def _surplus(self, gang: Gang) -> bool:
        """Whether the other gangs are enough for the trials that are left."""
        needed = self._barrier.needed(len(self._queue.open))
        others = sum(other is not gang for other in self._registry.standing)
        return needed is not None and others >= needed
