"""Reads the broker's events in the driver and writes down what they mean.

One thread, one order: journal first, then everything that can be rebuilt from it (trials.csv, logs,
MLflow, the progress line).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from raymoco.errors import TrainingError
from raymoco.study.journal import Event, Journal, Ledger, TrialRecord
from raymoco.study.space import short_name
from raymoco.study.spec import Objective
from raymoco.study.tables import ranked, write_trials
from raymoco.tracking import Tracker

PARENT = ""
WAIT_S = 0.5


class Recorder:
    """Applies events to the ledger and to everything that a sweep leaves behind.

    `on_event(event)` is called after each, for the progress line.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        journal: Journal,
        tracker: Tracker,
        objectives: Sequence[Objective],
        axes: Iterable[str],
        tags: Mapping[str, str],
        on_event: Callable[[Event], None],
    ) -> None:
        self.ledger = ledger
        self._folder, self._journal, self._tracker = folder, journal, tracker
        self._objectives, self._objective = objectives, objectives[0]
        self._axes, self._on_event = list(axes), on_event
        self._tags = tags
        self._lock = threading.RLock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None
        (folder / "logs").mkdir(exist_ok=True)

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

    def record(self, event: Event) -> None:
        """Take one event: journal, ledger, and what follows from it."""
        with self._lock:
            if event["event"] == "text":  # a line for people; the journal can do without
                self._log(event["trial_id"], event["line"])
                return
            trial = self.ledger.trials.get(event.get("trial_id", ""))
            if event["event"] == "report" and trial and int(event["row"]["epoch"]) in trial.rows:
                return  # a resumed run repeats what it had reported: it is known
            event = self._journal.append(event)
            self.ledger.apply(event)
            trial = self.ledger.trials.get(event.get("trial_id", ""))
            if trial is not None:
                getattr(self, f"_{event['event']}", lambda *_: None)(trial, event)
            self._on_event(event)

    def reopen(self, trial_id: str) -> None:
        """A trial of an earlier driver goes on in the MLflow run that it began."""
        self._start_tracking(self.ledger.trials[trial_id])

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
        except Exception as error:  # noqa: BLE001 - raised again by check()
            self.error = error

    def _proposed(self, trial: TrialRecord, event: Event) -> None:
        self._start_tracking(trial)
        self._tracker.log_text(trial.trial_id, "config.yaml", event["config"])

    def _start_tracking(self, trial: TrialRecord) -> None:
        tags = {
            **self._tags,
            "raymoco.kind": "trial",
            "raymoco.trial_id": trial.trial_id,
            "raymoco.cell": trial.cell,
            "raymoco.seed": trial.seed,
            "raymoco.state": "running",
        }
        # what changes on the way is no parameter but a metric
        fixed = {key: value for key, value in trial.values.items() if key != "changes"}
        varied = fixed | ({"cell": trial.cell} if trial.cell else {})
        name = short_name(trial.values) or "default"
        self._tracker.start_run(
            trial.trial_id,
            f"{trial.cell} seed={trial.seed}" if trial.cell else name,
            params={**varied, "seed": trial.seed},
            tags=tags,
            parent=PARENT,
            run_id=trial.mlflow_run_id or None,
        )

    def _assigned(self, trial: TrialRecord, event: Event) -> None:
        self._tracker.set_tags(trial.trial_id, {"raymoco.attempt": event["attempt"]})
        self._log(trial.trial_id, f"attempt {event['attempt']} on {event['gang']}")
        self._note_run_id(trial)

    def _report(self, trial: TrialRecord, event: Event) -> None:
        self._note_run_id(trial)
        row = event["row"]
        # the objective first: MLflow's comparison page opens on the metric that it was given first
        first = [name for name in row if name == self._objective.metric]
        metrics = {name: row[name] for name in [*first, *row] if "/" in name}
        self._tracker.log_row(trial.trial_id, metrics, int(row["epoch"]))
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self._log(trial.trial_id, f"epoch {row['epoch']}: {shown}")

    def _changed(self, trial: TrialRecord, event: Event) -> None:
        self._log(trial.trial_id, f"goes on from {event['donor']} after epoch {event['epoch']}")

    def _ended(self, trial: TrialRecord, event: Event) -> None:
        self._note_run_id(trial)
        self._log(trial.trial_id, f"{trial.state} {trial.reason}".rstrip())
        self._tracker.set_tags(
            trial.trial_id, {"raymoco.state": trial.state, "raymoco.reason": trial.reason}
        )
        self._tracker.end_run(trial.trial_id, trial.state)
        self.write_tables()
        self._log_parent()

    def _note_run_id(self, trial: TrialRecord) -> None:
        if not trial.mlflow_run_id:
            run_id = self._tracker.run_id(trial.trial_id)
            if run_id:
                trial.mlflow_run_id = run_id
                self._journal.append(
                    {"event": "tracked", "trial_id": trial.trial_id, "run_id": run_id}
                )

    def _log_parent(self) -> None:
        ended = [t for t in self.ledger.all() if t.ended is not None]
        counts: dict[str, float | int] = {
            f"sweep/{state}": len(self.ledger.in_state(state))
            for state in ("completed", "pruned", "stopped", "failed")
        }
        best = ranked((t for t in ended if not t.cell), self._objective)
        if best:
            counts[f"best/{self._objective.metric}"] = best[0].final[self._objective.metric]
        self._tracker.log_row(PARENT, counts, len(ended))

    def write_tables(self) -> None:
        """Rewrite trials.csv."""
        with self._lock:
            for trial in self.ledger.all():
                self._note_run_id(trial)
            write_trials(
                self._folder / "trials.csv", self.ledger.all(), self._axes, self._objectives
            )

    def _log(self, trial_id: str, line: str) -> None:
        with (self._folder / "logs" / f"{trial_id}.txt").open("a", encoding="utf-8") as stream:
            stream.write(line.rstrip() + "\n")
