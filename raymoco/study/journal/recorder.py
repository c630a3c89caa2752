"""Reads the broker's events in the driver and writes down what they mean.

One thread, one order: journal first, then everything that can be rebuilt from it (trials.csv, logs,
the progress line). MLflow is told by a mirror that reads the journal by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, assert_never

import ray
from ray.exceptions import RayActorError

from raymoco.errors import TrainingError
from raymoco.event_log import Journal
from raymoco.study.journal.events import (
    Assigned,
    Changed,
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


class Recorder:
    """Applies events to the ledger and to everything that a sweep leaves behind.

    `on_event(event)` is called after each, for the progress line and for MLflow.
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
        self.error: Exception | None = None
        self._folder.logs.mkdir(exist_ok=True)

    def listen(self, broker: Any) -> None:
        """Begin to read the broker's events in a thread."""
        self._thread = threading.Thread(target=self._listen, args=(broker,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Read what is left and end the thread; `check` says whether it could be written."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def check(self) -> None:
        """Raise if an event could not be written down: the sweep must not go on unrecorded."""
        if self.error is not None:
            raise TrainingError(f"the sweep cannot be written down: {self.error}") from self.error

    def record(self, event: SweepEvent) -> None:
        """Take one event: journal, ledger, and what follows from it."""
        with self._lock:
            match event:
                case Logged():  # for people; the journal can do without
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
        """Whether the journal has this epoch: a resumed run repeats what it had reported."""
        trial = self.ledger.trials.get(event.trial_id)
        return trial is not None and int(event.row["epoch"]) in trial.rows

    def tracked(self, key: str, run_id: str) -> None:
        """MLflow's id of a trial's run; it stays the same when the trial is resumed."""
        trial = self.ledger.trials.get(key)
        if trial is not None and trial.mlflow_run_id != run_id:
            self.record(Tracked(trial_id=key, run_id=run_id))

    def _listen(self, broker: Any) -> None:
        seen = 0
        try:
            while True:
                last_round = self._done.is_set()
                events = ray.get(broker.events.remote(seen, WAIT_S))
                for event in events:
                    self.record(event)
                seen += len(events)
                if last_round and not events:
                    return
        except RayActorError:
            return  # the gangs' own check says it in better words
        except Exception as error:  # noqa: BLE001 - raised again by check()
            self.error = error

    def _tell(self, event: TrialEvent) -> None:
        """The trial's log and the tables, as far as an event concerns them."""
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
            case Ended():
                trial = self.ledger.trials[event.trial_id]  # whose first end stands
                self._log(event.trial_id, f"{trial.state} {trial.reason}".rstrip())
                self.write_tables()
            case Proposed() | Paused() | Tracked() | Logged():
                pass
            case _:
                assert_never(event)

    def write_tables(self) -> None:
        """Rewrite trials.csv."""
        with self._lock:
            write_trials(self._folder.trials, self.ledger.all(), self._axes, self._objectives)

    def _log(self, trial_id: str, line: str) -> None:
        with self._folder.log(trial_id).open("a", encoding="utf-8") as stream:
            stream.write(line.rstrip() + "\n")
