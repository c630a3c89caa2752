"""Deliver a journal to a store, in the background of a driver or later by `raymoco sync`.

The journal is the spool. Nothing waits in memory: what the store has got is an offset in a file, so
that a store that is away, or a driver that is killed, costs a later delivery and nothing else.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raymoco.errors import ConfigError, DataError, DiskFullError
from raymoco.event_log import Begun, RunState, is_alive, read_journal, read_on
from raymoco.locks import hold
from raymoco.tracking.changes import Change, Translator
from raymoco.tracking.open import open_tracking_store, store_class
from raymoco.tracking.places import NOWHERE, Backlog, Place, count_backlog, load_delivered
from raymoco.tracking.protocol import RefusedError, TrackingStore, reason

if TYPE_CHECKING:
    from filelock import BaseFileLock

READ_LINES = 10_000
PACE_S = 1.0
# how long the end of a sweep or a run waits for the store; later deliveries lose nothing
PATIENT_S, HASTY_S = 30.0, 5.0
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 10.0


@dataclass
class Outcome:
    """The result of a delivery.

    Args:
        events, points: how many were delivered by this process.
        refused: what the store will never take, a line each.
        left: what still waits.
        error: why it waits, in a few words; "" if it does not.
    """

    events: int = 0
    points: int = 0
    refused: list[str] = field(default_factory=list)
    left: Backlog = field(default_factory=lambda: Backlog(0, 0))
    error: str = ""


class Mirror:
    """The only writer for one place: follows the journal and delivers changes to the store.

    Args:
        place: what is delivered where.
        translator: builds a reader of the journal; called again to send everything again.
        on_made: hears the key and the store's id of each run, once per process.
        say: hears, once, that the store does not answer.
        opens: connects to the store of a place, for an owner.
    """

    def __init__(
        self,
        place: Place,
        translator: Callable[[], Translator[Any]],
        on_made: Callable[[str, str], None] = lambda key, run_id: None,
        say: Callable[[str], None] = lambda line: None,
        opens: Callable[[Place, str], TrackingStore] = open_tracking_store,
    ) -> None:
        self._opens = opens
        self.place = place
        self.outcome = Outcome()
        self._build_translator, self._on_made, self._say = translator, on_made, say
        self._translator = translator()
        self._kinds = self._translator.kinds
        self._delivered = load_delivered(place)
        self._store: TrackingStore | None = None
        self._announced: set[str] = set()
        self._pending: dict[str, Change] = {}
        self._read = 0
        self._batch = Backlog(0, 0)
        self._lock: BaseFileLock | None = None
        self._news, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._deadline = 0.0

    def start(self) -> None:
        """Start a thread that delivers, unless the place is nowhere."""
        if self.place.uri == NOWHERE:
            return
        # not in the thread: with imports in two threads one may see an incomplete module
        store_class(self.place.uri)
        self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Tell the thread that the journal has grown."""
        self._news.set()

    def close(self, *, hasty: bool = False) -> Outcome:
        """Deliver what is left, as long as the store answers and within the timeout.

        Args:
            hasty: a user waits at a terminal, so use a shorter timeout.
        Returns:
            What was delivered, and what still waits in the journal.
        """
        if self._thread is None:
            return self.outcome
        timeout_s = HASTY_S if hasty else PATIENT_S
        self._deadline = time.monotonic() + timeout_s
        self._closing.set()
        self._news.set()
        self._thread.join(timeout_s + FIRST_RETRY_S)
        if self._thread.is_alive():
            self.outcome.error = self.outcome.error or f"it took longer than {timeout_s:g} s"
        self.outcome.left = count_backlog(self.place, self._kinds)
        if not self.outcome.left.events:
            self.outcome.error = ""
        return self.outcome

    def deliver(self, *, again: bool = False) -> Outcome:
        """Deliver everything now, in this thread, and give up when the store does not answer.

        Runs whose process is gone are ended as killed; a resumed sweep goes on in them.

        Args:
            again: from the beginning, whatever the store has got.
        Raises:
            ConfigError: another process delivers to this place.
        """
        if not self._take_lock():
            raise ConfigError(
                f"{self.place.folder}: another process delivers it to {self.place.tracker}."
            )
        if again:
            self._delivered.offset = 0
        try:
            while self._round():
                pass
            self._end_abandoned()
        except Exception as error:  # noqa: BLE001 - in the outcome; the journal keeps everything
            self._note_error(error)
        finally:
            self._release_lock()
        self.outcome.left = count_backlog(self.place, self._kinds)
        return self.outcome

    def _run(self) -> None:
        pause = FIRST_RETRY_S
        while True:
            last, away = self._closing.is_set(), False
            self._news.clear()
            try:
                if self._take_lock():
                    while self._round():
                        pause = FIRST_RETRY_S
                elif last:
                    self.outcome.error = "another process delivers to it"
            except Exception as error:  # noqa: BLE001 - a dead writer would lose all that follows
                self._note_error(error)
                away = True
            # at the end, do not wait for a server that never answered
            if last and not (away and self._store and time.monotonic() < self._deadline):
                self._release_lock()
                return
            if last:
                time.sleep(FIRST_RETRY_S)
            elif away:
                self._closing.wait(pause)
                pause = min(2 * pause, LAST_RETRY_S)
            else:
                self._news.wait()
                self._closing.wait(PACE_S)  # collects events for one delivery

    def _round(self) -> bool:
        """Deliver the next part of the journal; return whether there was one."""
        store = self._connected()
        if store is None:
            return False
        if not self._pending:
            self._read_on()
        if self._read == self._delivered.offset:
            return False
        for key in list(self._pending):
            self._write(store, self._pending[key])
            del self._pending[key]
        self._delivered.offset, self._delivered.error = self._read, ""
        self._delivered.save(self.place)
        self.outcome.events += self._batch.events
        self.outcome.points += self._batch.points
        self.outcome.error = ""
        return True

    def _read_on(self) -> None:
        events, self._read = read_on(self.place.journal, self._kinds, self._read, READ_LINES)
        points = 0
        for event in events:
            for change in self._translator.take(event):
                points += len(change.points) if event.points else 0
                if change.key in self._pending:
                    self._pending[change.key].merge(change)
                else:
                    self._pending[change.key] = change
        known = sum(event.delivered for event in events)
        self._batch = Backlog(known, points)

    def _write(self, store: TrackingStore, change: Change) -> None:
        try:
            store.write(change)
        except RefusedError as refusal:
            self.outcome.refused.append(f"{change.name or change.key or 'parent'}: {refusal}")
        self._announce(store, change.key)

    def _announce(self, store: TrackingStore, key: str) -> None:
        if key in store.ids and key not in self._announced:
            self._announced.add(key)
            self._on_made(key, store.ids[key])

    def _connected(self) -> TrackingStore | None:
        """Return the store, once the journal has an owner."""
        if self._store is None:
            events, _ = read_on(self.place.journal, self._kinds, 0, 1)
            if not events:
                return None
            first = events[0]
            if not isinstance(first, Begun):
                raise DataError(f"{self.place.journal} does not say whose it is: no `begun` event.")
            store = self._opens(self.place, first.id)
            if not store.ids:
                self._delivered.offset = 0  # whatever was delivered, it is not there any more
            self._catch_up()
            self._store = store
        return self._store

    def _catch_up(self) -> None:
        """Read the delivered part again, for the translator's state only."""
        self._translator, self._read = self._build_translator(), 0
        self._pending.clear()
        while self._read < self._delivered.offset:
            at, until = self._read, self._delivered.offset
            events, self._read = read_on(self.place.journal, self._kinds, at, READ_LINES, until)
            if not events:
                break
            for event in events:
                self._translator.take(event)
        self._delivered.offset = min(self._delivered.offset, self._read)

    def _end_abandoned(self) -> None:
        """End open runs whose process is gone."""
        begins = [e for e in read_journal(self.place.journal, self._kinds) if isinstance(e, Begun)]
        if self._store is None or not begins or is_alive(begins[-1]) is not False:
            return
        for key in self._translator.open_runs():
            if key in self._store.ids:
                tags = {"raymoco.state": RunState.INTERRUPTED}
                change = Change(key, time.time(), tags=tags, state=RunState.STOPPED)
                self._store.write(change)

    def _note_error(self, error: Exception) -> None:
        text = reason(error)
        if not self.outcome.error:
            does = "takes nothing" if isinstance(error, DataError) else "does not answer"
            self._say(
                f"warning: {self.place.label} {does} ({text}); training goes on, and what "
                "it logs is delivered later"
            )
        self.outcome.error = self._delivered.error = text
        with suppress(DiskFullError):  # the journal says that, too: this is only for `status`
            self._delivered.save(self.place)

    def _take_lock(self) -> bool:
        if self._lock is None:
            self._lock = hold(self.place.file("lock"))
            if self._lock is None:
                return False
            self._delivered = load_delivered(self.place)
        return True

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def missing_lines(place: Place, outcome: Outcome) -> list[str]:
    """Return warnings about an incomplete delivery; empty if it was complete."""
    lines = []
    if outcome.left.events:
        lines.append(
            f"warning: {place.label} did not take everything ({outcome.error}): "
            f"{outcome.left.points} points wait in the journal, none is lost. Deliver them with: "
            f"raymoco sync {shlex.quote(str(place.folder))}"
        )
    if outcome.refused:
        more = f", and {len(outcome.refused) - 1} more" if len(outcome.refused) > 1 else ""
        lines.append(f"warning: {place.tracker} refused {outcome.refused[0]}{more}")
    return lines
