"""Translate a sweep's journal for MLflow: a parent run and a child run per trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, assert_never

from raymoco.engine.mlflow_run import RunTranslator
from raymoco.engine.output_folder import PREDICTIONS
from raymoco.event_log import Begun, Closed, EventKinds, RunState, Unknown
from raymoco.metrics import BEST_SO_FAR, TRIALS_IN_STATE
from raymoco.study.journal.events import (
    ENDED,
    SWEEP_EVENTS,
    Assigned,
    Changed,
    Dropped,
    Ended,
    GangClosed,
    GangLost,
    GangUp,
    Logged,
    Paused,
    Proposed,
    Reported,
    Retried,
    SweepEvent,
    Tracked,
    TrialEvent,
    TrialKind,
    TrialState,
)
from raymoco.study.journal.find import FoundFolder
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.journal.ranking import Leader
from raymoco.study.sweepfile.axis import short_name
from raymoco.study.sweepfile.load import Sweep
from raymoco.tracking import PARENT, RUNNING, Change, Translator, points_of
from raymoco.tracking.shared_view import comparison_view

NOTE = "mlflow.note.content"
# the kind of a trial by its phase; a trial that tunes a cell is called like its phase
KINDS = {
    "search": TrialKind.TRIAL,
    "compare": TrialKind.TRIAL,
    "confirm": TrialKind.CONFIRMATION,
    "tune": TrialKind.TUNE,
}


class SweepTranslator:
    """Reads a sweep's journal from its beginning and translates each event for MLflow.

    Args:
        folder: the sweep's folder; its files become artifacts.
        sweep: the sweep file.
    """

    kinds: ClassVar[EventKinds[SweepEvent]] = SWEEP_EVENTS

    def __init__(self, folder: Path, sweep: Sweep) -> None:
        self._folder, self._sweep = SweepFolder(folder), sweep
        self._ledger = Ledger()
        self._tags: dict[str, str] = {}
        self._closed = True
        self._reopened: set[str] = set()
        self._ended = 0
        # kept from event to event: counting all trials at each end would be quadratic
        self._counts = Counter[str]()
        self._leader = Leader(self._ledger, sweep.spec.objective)

    def take(self, event: SweepEvent) -> list[Change]:
        """What an event changes."""
        trial = self._ledger.trials.get(event.trial_id) if isinstance(event, TrialEvent) else None
        before = trial.state if trial is not None else ""
        self._ledger.apply(event)
        self._leader.take(event)
        if trial is not None and trial.state != before:
            self._counts.update({before: -1, trial.state: 1})
        match event:
            case Begun():
                return [self._begun(event)]
            case Closed():
                return self._sweep_closed(event)
            case GangUp() | GangLost() | GangClosed() | Unknown():
                return []
        trial = self._ledger.trials.get(event.trial_id)
        if trial is None:
            return []
        match event:
            case Proposed():
                return [self._proposed(trial, event)]
            case Assigned():
                return [self._assigned(trial, event)]
            case Retried():
                return [Change(event.trial_id, event.time, tags={"raymoco.reason": event.reason})]
            case Reported():
                return [self._report(trial, event)]
            case Ended():
                return self._trial_ended(trial, event)
            case Dropped():
                return [Change(event.trial_id, event.time, tags={"raymoco.dropped": event.reason})]
            case Paused() | Changed() | Tracked() | Logged():
                return []
            case _:
                assert_never(event)

    def open_runs(self) -> list[str]:
        """The keys of the runs that have begun and not ended."""
        return [*self._unended(), *([] if self._closed else [PARENT])]

    def _begun(self, event: Begun) -> Change:
        spec = self._sweep.spec
        self._tags = {**event.tags, "raymoco.sweep": spec.name}
        self._closed = False
        self._reopened.clear()
        return Change(
            PARENT,
            event.time,
            name=spec.name,
            tags={
                **self._tags,
                "raymoco.kind": spec.kind,
                "raymoco.varies": " ".join(self._sweep.axes),
                "raymoco.state": RUNNING,
            },
            texts={self._folder.spec.name: spec.to_yaml()},
            view=comparison_view(
                spec.name,
                spec.objective.metric,
                spec.objective.mode,
                self._sweep.axes,
                event.id,
            ),
            state=RUNNING,
        )

    def _sweep_closed(self, event: Closed) -> list[Change]:
        # trials of a killed driver that were not continued
        tags: dict[str, str] = {"raymoco.state": RunState.INTERRUPTED}
        changes = [
            Change(key, event.time, tags=tags, state=RunState.STOPPED) for key in self._unended()
        ]
        self._closed = True
        folder = self._folder
        files = {str(file.relative_to(folder.path)): file for file in folder.artifacts}
        tags = {"raymoco.state": event.state}
        if folder.summary.exists():
            tags[NOTE] = folder.summary.read_text(encoding="utf-8")
        parent = Change(PARENT, event.time, tags=tags, files=files, state=event.state)
        return [*changes, parent]

    def _proposed(self, trial: TrialRecord, event: Proposed) -> Change:
        self._reopened.add(trial.trial_id)
        # a value that a population changes during training is a metric, not a param
        params = {key: value for key, value in trial.values.items() if key != "changes"}
        varied = short_name(params)
        name = varied or "default"
        if trial.cell:  # a search has only one seed, so its name leaves it out
            params |= {"cell": trial.cell, "seed": trial.seed}
            name = f"{trial.cell} seed={trial.seed}"
        if trial.proposal:  # its repeats stand together, and differ in their seeds
            params |= {"proposal": trial.proposal, "seed": trial.seed}
            name = f"{name} seed={trial.seed}"
        phase = self._sweep.spec.phase_of(trial.cell, event.phase)
        if event.phase:  # a trial that tunes its cell is not compared
            name = f"{trial.cell} {varied}"
        return Change(
            trial.trial_id,
            event.time,
            name=name,
            child=True,
            params=params,
            tags={
                **self._tags,
                "raymoco.kind": KINDS[phase],
                "raymoco.cell": trial.cell,
                "raymoco.seed": trial.seed,
                "raymoco.state": TrialState.WAITING,
            },
            texts={"config.yaml": event.config} if event.config else {},
            state=RUNNING,
        )

    def _assigned(self, trial: TrialRecord, event: Assigned) -> Change:
        # a run that an earlier driver ended as interrupted may continue now
        fresh = trial.trial_id in self._reopened
        self._reopened.add(trial.trial_id)
        return Change(
            trial.trial_id,
            event.time,
            tags={"raymoco.attempt": event.attempt, "raymoco.state": RUNNING},
            state="" if fresh else RUNNING,
        )

    def _report(self, trial: TrialRecord, event: Reported) -> Change:
        # MLflow's page opens on the first metric; test metrics come last
        row, opens = event.row, self._sweep.spec.tuned_on
        trial.rows = {trial.epochs: trial.final}  # the curve is not needed here
        return Change(
            trial.trial_id,
            event.time,
            points=points_of(row, event.time, first=opens.metric),
        )

    def _trial_ended(self, trial: TrialRecord, event: Ended) -> list[Change]:
        self._ended += 1
        tags = {"raymoco.state": trial.state, "raymoco.reason": trial.reason}
        files = {PREDICTIONS: self._folder.predictions_of(trial.trial_id)}
        child = Change(trial.trial_id, event.time, tags=tags, files=files, state=trial.state)
        return [child, self._progress(event.time)]

    def _unended(self) -> list[str]:
        return [trial.trial_id for trial in self._ledger.all() if trial.state not in ENDED]

    def _progress(self, time: float) -> Change:
        """Counts and the best score so far, so that the parent's page is never empty."""
        counts = {TRIALS_IN_STATE.of(state): self._counts[state] for state in ENDED}
        change = Change(PARENT, time, points=points_of(counts, time, step=self._ended))
        objective, best = self._sweep.spec.objective, self._leader.best
        if best is not None:
            score = {BEST_SO_FAR.of(objective.metric): best.score(objective.metric)}
            change.points += points_of(score, time, step=self._ended)
            change.tags["raymoco.best_trial"] = best.trial_id
        return change


def open_translator(found: FoundFolder) -> Callable[[], Translator[Any]]:
    """Return a function that builds the translator of a folder's journal."""
    sweep, run = found.sweep, found.run
    if sweep is not None:
        return lambda: SweepTranslator(found.folder, sweep)
    assert run is not None
    return lambda: RunTranslator(found.folder, run)
