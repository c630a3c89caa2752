"""Read the broker's events in the driver and write them to the sweep's folder.

One thread writes in a fixed order: first the journal, then everything that can be rebuilt from it
(logs, the progress line, and trials.csv a little later). A mirror reads the journal separately and
delivers to MLflow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, assert_never

import ray
from ray.exceptions import RayActorError

from raymoco.errors import DiskFullError, TrainingError
from raymoco.event_log import Journal
from raymoco.files import append_line
from raymoco.study.journal.events import (
    Assigned,
    Changed,
    Dropped,
    Ended,
    Logged,
    Paused,
    Proposed,
    Reported,
    Retried,
    SweepEvent,
    Tracked,
    TrialEvent,
)
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger
from raymoco.study.journal.trials_csv import write_trials
from raymoco.study.sweepfile.sections import Objective

WAIT_S = 0.5
# trials.csv is rewritten whole: of a long sweep rarely, or it would take more time than the trials
TABLES_SHARE = 0.05


class Recorder:
    """Writes events to the journal, the ledger, the logs and the tables.

    `on_event(event)` is called after each event, for the progress line and for MLflow.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        journal: Journal,
        objectives: Sequence[Objective],
        axes: Iterable[str],
        on_event: Callable[[SweepEvent], None],
    ) -> None:
        self.ledger = ledger
        self._folder, self._journal, self._objectives = SweepFolder(folder), journal, objectives
        self._axes, self._on_event = list(axes), on_event
        self._lock = threading.RLock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._caught: threading.Event | None = None
        self._stale, self._tables_due = False, 0.0
        self.error: Exception | None = None
        self._folder.logs.mkdir(exist_ok=True)

    def listen(self, broker: Any) -> None:
        """Start a thread that reads the broker's events."""
        self._thread = threading.Thread(target=self._listen, args=(broker,), daemon=True)
        self._thread.start()

    def catch_up(self) -> None:
        """Wait until every event that the broker has had so far is recorded.

        What a phase leaves is judged by the ledger, and the last report may still be on its way.
        """
        if self._thread is None:
            return
        caught = self._caught = threading.Event()
        while self._thread.is_alive() and not caught.wait(0.05):
            pass  # a thread that ended by an error says so in check()

    def finish(self) -> None:
        """Read the remaining events and end the thread; `check` raises an error of the thread."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def check(self) -> None:
        """Raise if an event could not be recorded: the sweep must not continue unrecorded."""
        if isinstance(self.error, DiskFullError):
            raise self.error
        if self.error is not None:
            raise TrainingError(f"the sweep cannot be written down: {self.error}") from self.error

    def record(self, event: SweepEvent) -> None:
        """Write one event to the journal, then apply it everywhere else."""
        with self._lock:
            match event:
                case Logged():  # for the trial's log only
                    self._log(event.trial_id, event.line)
                    return
                case Reported() if self._known(event):
                    return
            self._journal.append(event)
            self.ledger.apply(event)
            if isinstance(event, TrialEvent) and event.trial_id in self.ledger.trials:
                self._tell(event)
            self._on_event(event)

    def _known(self, event: Reported) -> bool:
        """Whether the journal has this epoch: a resume repeats the epochs since the checkpoint."""
        trial = self.ledger.trials.get(event.trial_id)
        return trial is not None and int(event.row["epoch"]) in trial.rows

    def tracked(self, key: str, run_id: str) -> None:
        """Record MLflow's id of a trial's run; a resumed trial keeps it."""
        trial = self.ledger.trials.get(key)
        if trial is not None and trial.mlflow_run_id != run_id:
            self.record(Tracked(trial_id=key, run_id=run_id))

    def _listen(self, broker: Any) -> None:
        seen = 0
        try:
            while True:
                last_round = self._done.is_set()
                caught = self._caught
                events = ray.get(broker.events.remote(seen, WAIT_S))
                for event in events:
                    self.record(event)
                self._refresh_tables()
                seen += len(events)
                if caught is not None and not events:  # nothing was left when it was asked
                    caught.set()
                if last_round and not events:
                    return
        except RayActorError:
            return  # Gangs.check raises a more helpful error
        except Exception as error:  # noqa: BLE001 - raised again by check()
            self.error = error

    def _tell(self, event: TrialEvent) -> None:
        """Write an event to the trial's log; after a trial's end the tables are stale."""
        match event:
            case Assigned():
                self._log(event.trial_id, f"attempt {event.attempt} on {event.gang}")
            case Retried():
                self._log(event.trial_id, f"attempt {event.attempt} failed: {event.reason}")
            case Reported(row=row):
                shown = "  ".join(f"{name} {row[name]:.4g}" for name in row if "/" in name)
                self._log(event.trial_id, f"epoch {row['epoch']}: {shown}")
            case Changed():
                said = f"goes on from {event.donor} after epoch {event.epoch}"
                self._log(event.trial_id, said)
            case Dropped():
                self._log(event.trial_id, f"no further repeat: {event.reason}")
            case Ended():
                trial = self.ledger.trials[event.trial_id]  # its first end is kept
                self._log(event.trial_id, f"{trial.state} {trial.reason}".rstrip())
                self._stale = True
                self._refresh_tables()
            case Proposed() | Paused() | Tracked() | Logged():
                pass
            case _:
                assert_never(event)

    def _refresh_tables(self) -> None:
        """Rewrite trials.csv if a trial has ended since, unless it would take too large a share."""
        if self._stale and time.monotonic() >= self._tables_due:
            self.write_tables()

    def write_tables(self) -> None:
        """Rewrite trials.csv."""
        with self._lock:
            begun = time.monotonic()
            self._stale = False
            write_trials(self._folder.trials, self.ledger, self._axes, self._objectives)
            ended = time.monotonic()
            self._tables_due = ended + (ended - begun) / TABLES_SHARE

    def _log(self, trial_id: str, line: str) -> None:
        append_line(self._folder.log(trial_id), line)
