"""The broker: an actor between Tune's thin clients and the warm gangs.

Clients submit trials and wait for their reports; gangs ask for the next trial and report; the
driver reads one ordered stream of events. Nobody looks the broker up by name: its handle is passed,
so two sweeps share a cluster in peace.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from raymoco.engine.metrics_file import Row
from raymoco.study.journal import Event

T = TypeVar("T")
CLOSE = "close"


@dataclass(frozen=True)
class Assignment:
    """What a gang is asked to run: a resolved config, where to keep checkpoints, where to go on.

    `until`: the epoch after which the trial pauses for another attempt; None: it runs to its end.
    """

    trial_id: str
    attempt: int
    config: dict[str, Any]
    folder: str
    resume_from: str | None = None
    until: int | None = None


@dataclass
class _Ticket:
    """One submitted trial: its reports not yet fetched, and its end."""

    assignment: Assignment
    rows: deque[Row] = field(default_factory=deque)
    state: str = "waiting"
    reason: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        return self.state not in ("waiting", "running", "paused")


class Broker:
    """Runs as an asynchronous Ray actor; every method is a coroutine that never blocks another.

    Args:
        slots: how many clients will stand; nothing is handed out until each has submitted once.
            While clients still start, Tune kills and restarts the ones whose trials end early.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._tickets: dict[str, _Ticket] = {}
        self._waiting: deque[str] = deque()
        self._events: list[Event] = []
        self._changed = asyncio.Condition()
        self._closing = False
        self._ending: tuple[str, str] | None = None
        self._data: Any = None

    # for the driver

    async def hand_data(self, boxed: list[Any]) -> None:
        """Keep a reference to the image handle, in a list so that it is not fetched here."""
        self._data = boxed

    async def open_gate(self, slots: int) -> None:
        """Another phase begins: wait for this many submissions before the next assignment."""
        self._slots = len(self._tickets) + slots
        self._ending = None

    async def lift_gate(self) -> None:
        """No more trials will come: hand out what waits."""
        self._slots = 0
        await self._notify()

    async def events(self, since: int, timeout_s: float) -> list[Event]:
        """Events from number `since` on; waits for one up to `timeout_s`."""
        await self._wait_until(lambda: len(self._events) > since, timeout_s)
        return self._events[since:]

    async def stop_all(self, state: str, reason: str) -> None:
        """End every trial that is not over, or still comes in this phase, as `state`.

        Gangs hear of it at their next report.
        """
        self._ending = (state, reason)
        for trial_id in list(self._tickets):
            await self.cancel(trial_id, state, reason)

    async def close(self) -> None:
        """Send every gang home once it has ended what it runs."""
        self._closing = True
        await self._notify()

    # for the clients

    async def submit(self, assignment: Assignment) -> None:
        """Queue a trial. A retry of a known trial id replaces its ticket."""
        ticket = self._tickets[assignment.trial_id] = _Ticket(assignment)
        if self._ending is not None:
            await self._end(ticket, *self._ending)
            return
        self._waiting.append(assignment.trial_id)
        await self._notify()

    async def next_row(self, trial_id: str, timeout_s: float) -> Row | str | None:
        """The next report of a trial, its end state once all are fetched, or None after a while."""
        ticket = self._tickets[trial_id]
        if not ticket.rows and not ticket.ended:
            ticket.news.clear()
            try:
                await asyncio.wait_for(ticket.news.wait(), timeout_s)
            except TimeoutError:
                return None
        if ticket.rows:
            return ticket.rows.popleft()
        return ticket.state if ticket.ended else None

    async def cancel(self, trial_id: str, state: str, reason: str) -> tuple[str, list[Row]]:
        """End a trial as `state` unless it has ended already.

        Returns:
            The state that it ended in, and the reports that its client has not fetched.
        """
        ticket = self._tickets.get(trial_id)
        if ticket is None:  # its client never came so far as to submit it
            state, reason = self._ending or (state, reason)
            await self._event(
                {"event": "ended", "trial_id": trial_id, "state": state, "reason": reason}
            )
            return state, []
        if not ticket.ended:
            await self._end(ticket, state, reason)
        return ticket.state, list(ticket.rows)

    # for the gangs

    async def hello(self, gang: str, workers: int) -> Any:
        """A gang is up; it gets the reference to the image handle, in a list."""
        await self._event({"event": "gang_up", "gang": gang, "workers": workers})
        return self._data

    async def next_assignment(self, gang: str, timeout_s: float) -> Assignment | str | None:
        """The next trial to run, `CLOSE`, or None after a while."""

        def ready() -> bool:
            return self._closing or (bool(self._waiting) and len(self._tickets) >= self._slots)

        await self._wait_until(ready, timeout_s)
        while self._waiting and len(self._tickets) >= self._slots:
            ticket = self._tickets[self._waiting.popleft()]
            if ticket.ended:  # cancelled while it waited
                continue
            ticket.state = "running"
            assignment = ticket.assignment
            await self._event(
                {
                    "event": "assigned",
                    "trial_id": assignment.trial_id,
                    "attempt": assignment.attempt,
                    "gang": gang,
                }
            )
            return assignment
        return CLOSE if self._closing else None

    async def report(self, trial_id: str, attempt: int, row: Row, checkpoint: str | None) -> bool:
        """Take an epoch's row; answers whether the gang shall stop this trial."""
        ticket = self._tickets[trial_id]
        if ticket.ended or attempt != ticket.assignment.attempt:
            return True
        await self._event(
            {"event": "report", "trial_id": trial_id, "row": row, "checkpoint": checkpoint}
        )
        ticket.rows.append(row)
        ticket.news.set()
        if int(row["epoch"]) == ticket.assignment.config["epochs"]:
            # here and not in finish(): a scheduler that reads the last row must find the trial over
            await self._end(ticket, "completed", "")
        elif int(row["epoch"]) == ticket.assignment.until:
            ticket.state = "paused"
            await self._event({"event": "paused", "trial_id": trial_id})
            return True
        return False

    async def text(self, trial_id: str, line: str) -> None:
        """A line for logs/<trial_id>.txt."""
        await self._event({"event": "text", "trial_id": trial_id, "line": line})

    async def finish(self, trial_id: str, attempt: int, state: str, reason: str) -> None:
        """The gang is done with a trial; an end that came from outside stands."""
        ticket = self._tickets[trial_id]
        running = ticket.state == "running"  # a paused one has been stopped on purpose
        if running and attempt == ticket.assignment.attempt:
            await self._end(ticket, state, reason)

    async def _end(self, ticket: _Ticket, state: str, reason: str) -> None:
        ticket.state, ticket.reason = state, reason
        ticket.news.set()
        await self._event(
            {
                "event": "ended",
                "trial_id": ticket.assignment.trial_id,
                "state": state,
                "reason": reason,
            }
        )

    async def _event(self, event: Event) -> None:
        self._events.append(event)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait_until(self, condition: Any, timeout_s: float) -> None:
        async def wait() -> None:
            async with self._changed:
                await self._changed.wait_for(condition)

        await _within(wait(), timeout_s)


async def _within(wait: Awaitable[None], timeout_s: float) -> None:
    try:
        await asyncio.wait_for(wait, timeout_s)
    except TimeoutError:
        return
