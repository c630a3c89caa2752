"""The state of all trials of a sweep, built from its journal, for resume, status and reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, assert_never

from raymoco.event_log import Begun, Closed, Unknown, read_journal
from raymoco.metrics import Row
from raymoco.study.journal.events import (
    ENDED,
    SWEEP_EVENTS,
    Assigned,
    Changed,
    Dropped,
    Ended,
    GangClosed,
    GangLost,
    GangState,
    GangUp,
    Logged,
    Paused,
    Proposed,
    Reported,
    Retried,
    SweepEvent,
    Tracked,
    TrialEvent,
    TrialPhase,
    TrialState,
)

INTERRUPTED = "interrupted"  # the reason of a trial that Ctrl-C or SIGTERM ended


@dataclass
class TrialRecord:
    """One trial, built from its events; or the mean over the repeats of a proposal.

    `spent` are the seconds of its attempts. A training that is number `repeat` of `repeats` names
    its `proposal`; `dropped` says why it is the last one. `seeds` is the number of trainings that
    the rows are the mean of.
    """

    trial_id: str
    values: dict[str, Any]
    cell: str
    seed: int
    phase: TrialPhase = TrialPhase.MAIN
    state: TrialState = TrialState.WAITING
    reason: str = ""
    attempt: int = 0
    failures: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    checkpoint: str | None = None
    began: float | None = None
    ended: float | None = None
    spent: float = 0.0
    mlflow_run_id: str = ""
    proposal: str = ""
    repeat: int = 0
    repeats: int = 1
    dropped: Dropped | None = None
    seeds: int = 1
    _heard: float | None = None  # time of the last event while an attempt runs
    _final: Row | None = None
    _applied: int = field(default=0, compare=False)  # events
    _place: int = field(default=0, compare=False)

    @property
    def place(self) -> int:
        """Where it stands in the order in which trials were proposed, from 0."""
        return self._place

    @property
    def final(self) -> Row:
        """The last known value of every metric."""
        if self._final is None:  # cached, because it is read for every trial at every event
            self._final = {}
            for epoch in sorted(self.rows):
                self._final.update(self.rows[epoch])
        return self._final

    def score(self, metric: str) -> float:
        """The last known value of a metric; NaN where it was not measured."""
        return float(self.final.get(metric, math.nan))

    @property
    def completed(self) -> bool:
        """Whether it has trained to its end."""
        return self.state == TrialState.COMPLETED

    @property
    def epochs(self) -> int:
        """The number of epochs that it has trained."""
        return max(self.rows, default=0)

    def apply(self, event: TrialEvent) -> None:
        """Apply an event of this trial."""
        self._applied += 1
        match event:
            case Assigned():
                self.state, self.attempt = TrialState.RUNNING, event.attempt
                self.began = self.began or event.time
                self.ended, self.reason = None, ""  # it may have been interrupted, and continues
                # after a kill of the driver, the attempt counts up to its last report
                self._heard = event.time
            case Reported():
                self.rows[int(event.row["epoch"])] = event.row
                self.checkpoint = event.checkpoint or self.checkpoint
                self._final = None
                self._count(event.time)
            case Retried():
                self._leave(TrialState.WAITING, event.time)
                self.reason = event.reason
                self.failures += 1
            case Paused():
                self._leave(TrialState.PAUSED, event.time)
                self.ended, self.reason = None, ""  # a stopped member of a population continues
            case Changed():
                self.values = event.values
            case Tracked():
                self.mlflow_run_id = event.run_id
            case Dropped():
                self.dropped = self.dropped or event  # the first end is kept
            case Ended():
                if self.state not in ENDED:  # the first end is kept
                    self._leave(event.state, event.time)
                    self.reason, self.ended = event.reason, event.time
            case Proposed() | Logged():
                pass
            case _:
                assert_never(event)

    def _leave(self, state: TrialState, time: float) -> None:
        """Note that no gang works on it."""
        self.state = state
        self._count(time)
        self._heard = None

    def _count(self, time: float) -> None:
        if self._heard is not None:
            self.spent += time - self._heard
            self._heard = time


def mean_of(trainings: Sequence[TrialRecord]) -> TrialRecord:
    """Return a proposal as one record: its end, and the means over its repeats.

    It is completed when every repeat is. The means are over the completed repeats, or over all
    while none is completed. Whatever else a repeat ends as ends the proposal.

    Args:
        trainings: the repeats of one proposal so far, in order.
    """
    first = trainings[0]
    state, reason = _end_of(trainings)
    counted = [trial for trial in trainings if trial.completed] or list(trainings)
    ends = [trial.ended for trial in trainings if trial.ended is not None]
    return TrialRecord(
        first.proposal,
        first.values,
        first.cell,
        first.seed,
        state=state,
        reason=reason,
        failures=sum(trial.failures for trial in trainings),
        rows=_mean_rows([trial.rows for trial in counted]),
        began=min((trial.began for trial in trainings if trial.began), default=None),
        ended=max(ends, default=None) if state in ENDED else None,
        spent=math.fsum(trial.spent for trial in trainings),
        proposal=first.proposal,
        repeats=first.repeats,
        seeds=len(counted),
        _place=first.place,
    )


def _end_of(trainings: Sequence[TrialRecord]) -> tuple[TrialState, str]:
    """Return the state of a proposal and why it ended early; waiting between two repeats."""
    working = [trial for trial in trainings if trial.state not in ENDED]
    if working:
        return working[0].state, ""
    for trial in trainings:
        if not trial.completed:
            said = f"{trial.trial_id}: {trial.reason}" if trial.repeat else trial.reason
            return trial.state, said
    dropped = trainings[-1].dropped
    if dropped is not None:
        return dropped.state, dropped.reason
    if len(trainings) < trainings[0].repeats:
        return TrialState.WAITING, ""
    return TrialState.COMPLETED, ""


def _mean_rows(curves: Sequence[Mapping[int, Row]]) -> dict[int, Row]:
    """Return the mean of each number by epoch, where every curve has it."""
    means: dict[int, Row] = {}
    for epoch in sorted(set.intersection(*(set(curve) for curve in curves))):
        rows = [curve[epoch] for curve in curves]
        names = [
            name
            for name, value in rows[0].items()
            if isinstance(value, int | float) and all(name in row for row in rows)
        ]
        means[epoch] = {name: fmean(row[name] for row in rows) for name in names}
        means[epoch]["epoch"] = epoch
    return means


class Ledger:
    """The state of all trials, built by applying events in order, live or from a file.

    `begun` has the tags of each driver in order: data, versions, machine.
    """

    def __init__(self) -> None:
        self.trials: dict[str, TrialRecord] = {}
        self.gangs: dict[str, GangState] = {}
        self.begun: list[dict[str, str]] = []
        self.identity = ""
        self._means: dict[str, tuple[list[int], TrialRecord]] = {}

    def apply(self, event: SweepEvent) -> None:
        """Apply one event. The broker has dropped late reports of failed attempts already."""
        match event:
            case Proposed():
                self.trials[event.trial_id] = TrialRecord(
                    event.trial_id,
                    event.values,
                    event.cell,
                    event.seed,
                    event.phase,
                    proposal=event.proposal,
                    repeat=event.repeat,
                    repeats=event.repeats,
                    _place=len(self.trials),
                )
            case Begun():
                self.begun.append(event.tags)
                self.identity = event.id
            case GangUp():
                self.gangs[event.gang] = GangState.UP
            case GangLost():
                self.gangs[event.gang] = GangState.LOST
            case GangClosed():
                self.gangs[event.gang] = GangState.CLOSED
            case Closed() | Unknown():
                pass
            case _:
                trial = self.trials.get(event.trial_id)
                if trial is not None:
                    trial.apply(event)

    def judged(self, trial: TrialRecord) -> TrialRecord:
        """What a trial is judged by: itself, or the mean over the repeats of its proposal."""
        if not trial.proposal:
            return trial
        names = (f"{trial.proposal}-r{repeat}" for repeat in range(trial.repeats))
        return self._mean([self.trials[name] for name in names if name in self.trials])

    @property
    def search_trials(self) -> list[TrialRecord]:
        """The trials of a search, without confirmations and without ablation cells.

        With repeats a proposal counts as one, with the means over its trainings.
        """
        return [
            self._mean(trainings) if trainings[0].proposal else trainings[0]
            for trainings in self.trainings.values()
        ]

    @property
    def trainings(self) -> dict[str, list[TrialRecord]]:
        """The trainings of a search by proposal: one each, or its repeats in order."""
        grouped: dict[str, list[TrialRecord]] = {}
        for trial in self.all():
            if not trial.cell:
                grouped.setdefault(trial.proposal or trial.trial_id, []).append(trial)
        return grouped

    @property
    def spared(self) -> int:
        """The number of repeats that are not trained, because their proposals ended early."""
        return sum(
            trainings[0].repeats - len(trainings)
            for trainings in self.trainings.values()
            if trainings[0].proposal and _end_of(trainings)[0] in ENDED
        )

    def _mean(self, trainings: list[TrialRecord]) -> TrialRecord:
        # kept, because it is read at every event; by the counts, because another thread may apply
        # an event meanwhile
        seen = [trial._applied for trial in trainings]
        kept = self._means.get(trainings[0].proposal)
        if kept is None or kept[0] != seen:
            kept = self._means[trainings[0].proposal] = (seen, mean_of(trainings))
        return kept[1]

    def images(self, split: str) -> int | None:
        """The number of images in a split; None if no driver has recorded it."""
        count = (self.begun[-1] if self.begun else {}).get(f"raymoco.{split}_images", "")
        return int(count) if count.isdigit() and int(count) > 0 else None

    def in_state(self, *states: TrialState) -> list[TrialRecord]:
        """The trials in one of these states, in the order of their proposal."""
        return [trial for trial in self.all() if trial.state in states]

    def all(self) -> list[TrialRecord]:
        """All trials, as a copy of the list, so that another thread may add some meanwhile."""
        return list(self.trials.values())


def load_ledger(path: Path) -> Ledger:
    """Build the ledger of a journal."""
    ledger = Ledger()
    for event in read_journal(path, SWEEP_EVENTS):
        ledger.apply(event)
    return ledger
