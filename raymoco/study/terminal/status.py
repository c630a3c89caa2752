"""`raymoco status`: the state of a sweep or a run from its journal, on any machine that sees it.

It writes nothing, needs no Ray, and does not contact the process that runs the sweep.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from raymoco.engine.run_events import RUN_EVENTS, EpochDone, RunEvent
from raymoco.errors import DataError
from raymoco.event_log import JOURNAL, Begun, Closed, RunState, is_alive, read_journal
from raymoco.metrics import EVAL_KNN
from raymoco.study.journal.events import (
    ENDED,
    SWEEP_EVENTS,
    Assigned,
    GangClosed,
    GangEvent,
    GangLost,
    GangState,
    GangUp,
    SweepEvent,
    TrialState,
)
from raymoco.study.journal.find import FoundFolder
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.journal.ranking import best_of
from raymoco.study.statistics.stopping import look_words, planned_trials, repeats_words
from raymoco.study.sweepfile.axis import short_name
from raymoco.study.terminal.time_left import active_seconds, seconds_left, span
from raymoco.tracking import NOWHERE, count_backlog, load_delivered, place_of

SHOWN = 12


@dataclass(frozen=True)
class Driver:
    """The last process that ran it; `alive` is None if it ran on another machine."""

    host: str
    pid: int
    alive: bool | None
    silent_seconds: float


@dataclass(frozen=True)
class RunningTrial:
    """A trial that a gang is running."""

    trial_id: str
    name: str
    epoch: int
    metric: float | None
    gang: str
    attempt: int


@dataclass(frozen=True)
class Best:
    """The best completed trial; with repeats a proposal, by its mean over `seeds`."""

    trial_id: str
    name: str
    metric: float
    seeds: int = 1


@dataclass(frozen=True)
class GangStatus:
    """One gang: its last known state, the seconds since its start, and its number of starts."""

    name: str
    state: GangState
    seconds: float
    starts: int


@dataclass(frozen=True)
class MlflowStatus:
    """The points that MLflow has not received yet, and why."""

    uri: str
    points_waiting: int
    error: str


@dataclass
class Status:
    """The status of a sweep or a run, from its journal.

    Times are in seconds; `left_seconds` is None if it is unknown. Of an ablation with looks,
    `trials` are those up to the look that is next or at which it stopped.
    """

    kind: str
    name: str
    folder: str
    state: RunState
    metric: str
    epochs: int
    trials: int
    counts: dict[TrialState, int] = field(default_factory=dict)
    running: list[RunningTrial] = field(default_factory=list)
    best: Best | None = None
    gangs: list[GangStatus] = field(default_factory=list)
    driver: Driver | None = None
    elapsed_seconds: float = 0.0
    left_seconds: float | None = None
    mlflow: MlflowStatus | None = None
    looks: str = ""
    repeats: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The lines for the terminal."""
        lines = [f"{self.kind} {self.name}: {self._state_line()}", f"folder   {self.folder}"]
        if self.kind == "run":
            lines += [_trial_line(one, self.epochs, self.metric) for one in self.running]
        else:
            ended = sum(self.counts.get(state, 0) for state in ENDED)
            counts = ", ".join(f"{n} {state}" for state, n in self.counts.items() if n)
            said = f": {counts}" if counts else ""
            lines.append(f"trials   {ended} of {self.trials} ended{said}")
            if self.looks:
                lines.append(f"look     {self.looks}")
            if self.repeats:
                lines.append(f"repeats  {self.repeats}")
            shown = self.running[:SHOWN]
            lines += [f"  {_trial_line(one, self.epochs, self.metric)}" for one in shown]
            if len(self.running) > SHOWN:
                lines.append(f"  and {len(self.running) - SHOWN} more")
        if self.best is not None:
            best = self.best
            mean = f" (mean of {best.seeds} seeds)" if best.seeds > 1 else ""
            score = f"{self.metric} {best.metric:.4f}{mean}"
            lines.append(f"best     {best.trial_id}  {score}  {best.name}")
        if self.gangs:
            lines.append("gangs    " + ", ".join(map(_gang_words, self.gangs)))
        left = "" if self.left_seconds is None else f", about {span(self.left_seconds)} left"
        lines.append(f"time     {span(self.elapsed_seconds)}{left}")
        if self.mlflow is not None:
            lines.append(f"mlflow   {_mlflow_words(self.mlflow)}")
        return lines

    def _state_line(self) -> str:
        if self.driver is None:
            return "nothing has happened yet"
        one = self.driver
        heard = f"last event {span(one.silent_seconds)} ago"
        if self.state == RunState.INTERRUPTED:
            return f"interrupted, its process is gone ({heard}); go on with --resume"
        if self.state == RunState.RUNNING:
            known = "" if one.alive else ", seen from another machine"
            return f"running on {one.host}, process {one.pid}{known}, {heard}"
        return f"{self.state} {span(one.silent_seconds)} ago"


def read_status(found: FoundFolder, now: float | None = None) -> Status:
    """Read the journal in a folder.

    Args:
        found: a sweep or a run.
        now: seconds since the epoch; default the clock.
    Raises:
        DataError: the journal is damaged.
    """
    now = time.time() if now is None else now
    path = found.folder / JOURNAL
    if found.run is not None and not path.exists():
        raise DataError(f"{found.folder}: a run that has not begun (no {JOURNAL}).")
    events: Sequence[SweepEvent] | Sequence[RunEvent]
    if found.sweep is not None:
        events = read_journal(path, SWEEP_EVENTS)
        status = _sweep_status(found, events, now)
    else:
        events = read_journal(path, RUN_EVENTS)
        status = _run_status(found, events, now)
    # by number, because two drivers may have begun at the same instant
    drivers = [(n, event) for n, event in enumerate(events) if isinstance(event, Begun)]
    if drivers:
        since, last = drivers[-1]
        alive = is_alive(last)
        silent = max(0.0, now - events[-1].time)
        status.driver = Driver(last.host, last.pid, alive, silent)
        closed = [e for e in events[since:] if isinstance(e, Closed)]
        status.state = RunState.INTERRUPTED if alive is False else RunState.RUNNING
        if closed:
            status.state = closed[-1].state
    if status.state != RunState.RUNNING:
        status.left_seconds = None
        status.gangs.clear()  # they ended with their driver
    running = status.state == RunState.RUNNING
    status.elapsed_seconds = active_seconds(events, now if running else None)
    at = found.tracking
    place = place_of(found.folder, at.uri, at.experiment)
    if place.uri != NOWHERE and events:
        waiting = count_backlog(place, found.kinds).points
        status.mlflow = MlflowStatus(place.uri, waiting, load_delivered(place).error)
    return status


def _sweep_status(found: FoundFolder, events: list[SweepEvent], now: float) -> Status:
    sweep = found.sweep
    assert sweep is not None
    spec, ledger = sweep.spec, Ledger()
    gangs: dict[str, list[GangEvent]] = {}
    works: dict[str, str] = {}
    for event in events:
        ledger.apply(event)
        match event:
            case Assigned():
                works[event.trial_id] = event.gang
            case GangUp() | GangLost() | GangClosed():
                gangs.setdefault(event.gang, []).append(event)
    metric = spec.objective.metric
    states = [trial.state for trial in ledger.all()]
    best = best_of(ledger, spec.objective)
    return Status(
        kind=spec.kind,
        name=spec.name,
        folder=str(found.folder),
        state=RunState.WAITING,
        metric=metric,
        epochs=sweep.base.epochs,
        trials=planned_trials(sweep, ledger),
        counts=dict.fromkeys((*ENDED, TrialState.RUNNING, TrialState.WAITING), 0) | Counter(states),
        running=[
            RunningTrial(
                trial.trial_id,
                _trial_name(trial),
                trial.epochs,
                _measured(trial.score(metric)),
                works.get(trial.trial_id, ""),
                trial.attempt,
            )
            for trial in ledger.in_state(TrialState.RUNNING)
        ],
        best=Best(best.trial_id, _trial_name(best), best.score(metric), best.seeds)
        if best
        else None,
        gangs=[_gang(ledger.gangs[name], gangs[name], now) for name in sorted(gangs)],
        left_seconds=seconds_left(sweep, ledger, events, now),
        looks=look_words(sweep, ledger),
        repeats=repeats_words(sweep, ledger),
    )


def _run_status(found: FoundFolder, events: list[RunEvent], now: float) -> Status:
    config = found.run
    assert config is not None
    rows = [(event.time, event.row) for event in events if isinstance(event, EpochDone)]
    epoch = max((int(row["epoch"]) for _, row in rows), default=0)
    scores = [row[EVAL_KNN] for _, row in rows if EVAL_KNN in row]
    status = Status(
        kind="run",
        name=config.run_name,
        folder=str(found.folder),
        state=RunState.WAITING,
        metric=EVAL_KNN,
        epochs=config.epochs,
        trials=1,
        running=[RunningTrial(config.run_name, "", epoch, scores[-1] if scores else None, "", 0)],
    )
    if rows and rows[-1][0] > rows[0][0]:
        pace = (rows[-1][0] - rows[0][0]) / (len(rows) - 1)
        status.left_seconds = max(0.0, (config.epochs - epoch) * pace - (now - rows[-1][0]))
    return status


def _trial_name(trial: TrialRecord) -> str:
    return f"{trial.cell} seed={trial.seed}" if trial.cell else short_name(trial.values)


def _measured(score: float) -> float | None:
    return None if math.isnan(score) else score  # JSON has no NaN


def _gang(state: GangState, heard: list[GangEvent], now: float) -> GangStatus:
    ups = [event.time for event in heard if isinstance(event, GangUp)]
    since = ups[-1] if ups else heard[0].time
    return GangStatus(heard[0].gang, state, max(0.0, now - since), len(ups))


def _gang_words(gang: GangStatus) -> str:
    again = f", started {gang.starts} times" if gang.starts > 1 else ""
    return f"{gang.name} {gang.state} ({span(gang.seconds)}{again})"


def _mlflow_words(status: MlflowStatus) -> str:
    if not status.points_waiting:
        return f"{status.uri} has every point"
    why = f": {status.error}" if status.error else ""
    return f"{status.points_waiting} points wait for {status.uri}{why}"


def _trial_line(trial: RunningTrial, epochs: int, metric: str) -> str:
    score = "" if trial.metric is None else f"  {metric} {trial.metric:.4f}"
    attempt = f"  attempt {trial.attempt}" if trial.attempt else ""
    gang = f"  on {trial.gang}" if trial.gang else ""
    at = f"{trial.trial_id}  epoch {trial.epoch}/{epochs}{score}{gang}{attempt}"
    return f"{at}  {trial.name}".rstrip()
