"""What a sweep's journal says of its trials: the state that resume, status and reports read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raymoco.event_log import Event, read_journal
from raymoco.metrics import Row

INTERRUPTED = "interrupted"  # the reason of a trial that Ctrl-C or SIGTERM ended
ENDED = ("completed", "pruned", "stopped", "failed")


@dataclass
class TrialRecord:
    """One trial as the journal tells it.

    `phase` is `tune` for a trial that only tuned its cell, and empty for every other. `spent` are
    the seconds that its attempts have taken.
    """

    trial_id: str
    values: dict[str, Any]
    cell: str
    seed: int
    phase: str = ""
    state: str = "waiting"
    reason: str = ""
    attempt: int = 0
    failures: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    checkpoint: str | None = None
    began: float | None = None
    ended: float | None = None
    spent: float = 0.0
    mlflow_run_id: str = ""
    _heard: float | None = None  # while an attempt runs: when it was last heard of
    _final: Row | None = None

    @property
    def final(self) -> Row:
        """The last known value of every metric."""
        if self._final is None:  # every event of a sweep asks it of every trial
            self._final = {}
            for epoch in sorted(self.rows):
                self._final.update(self.rows[epoch])
        return self._final

    def score(self, metric: str) -> float:
        """The last known value of a metric; NaN where it was not measured."""
        return float(self.final.get(metric, math.nan))

    @property
    def epochs(self) -> int:
        """How many epochs it has trained."""
        return max(self.rows, default=0)

    def begin(self, event: Event) -> None:
        """A gang takes it; an attempt that a killed driver left counts up to its last report."""
        self.state, self.attempt = "running", event["attempt"]
        self.began = self.began or event["time"]
        self.ended, self.reason = None, ""  # an interrupted one that goes on
        self._heard = event["time"]

    def report(self, event: Event) -> None:
        """An epoch is done."""
        self.rows[int(event["row"]["epoch"])] = event["row"]
        self.checkpoint = event["checkpoint"] or self.checkpoint
        self._final = None
        self._count(event)

    def leave(self, state: str, event: Event) -> None:
        """No gang is at it any longer."""
        self.state = state
        self._count(event)
        self._heard = None

    def _count(self, event: Event) -> None:
        if self._heard is not None:
            self.spent += event["time"] - self._heard
            self._heard = event["time"]


class Ledger:
    """The state of all trials, built by applying events in order; the same live and on replay.

    `begun` says for each driver, first to last, on what it ran: data, versions, machine.
    """

    def __init__(self) -> None:
        self.trials: dict[str, TrialRecord] = {}
        self.gangs: dict[str, str] = {}
        self.begun: list[dict[str, str]] = []
        self.identity = ""

    def apply(self, event: Event) -> None:
        """Take one event into account. The broker has filtered out what older attempts say."""
        kind = event["event"]
        if kind == "proposed":
            self.trials[event["trial_id"]] = TrialRecord(
                event["trial_id"],
                event["values"],
                event["cell"],
                event["seed"],
                event.get("phase", ""),
            )
            return
        if kind == "begun":
            self.begun.append(event["tags"])
            self.identity = event["id"]
            return
        if kind.startswith("gang_"):
            self.gangs[event["gang"]] = kind.removeprefix("gang_")
            return
        trial = self.trials.get(event.get("trial_id", ""))
        if trial is None:
            return
        if kind == "assigned":
            trial.begin(event)
        elif kind == "report":
            trial.report(event)
        elif kind == "retry":
            trial.leave("waiting", event)
            trial.reason = event["reason"]
            trial.failures += 1
        elif kind == "paused":
            trial.leave("paused", event)
            trial.ended, trial.reason = None, ""  # a stopped member of a population goes on
        elif kind == "changed":
            trial.values = event["values"]
        elif kind == "tracked":
            trial.mlflow_run_id = event["run_id"]
        elif kind == "ended" and trial.state not in ENDED:
            trial.leave(event["state"], event)
            trial.reason, trial.ended = event["reason"], event["time"]

    def in_state(self, *states: str) -> list[TrialRecord]:
        """The trials in one of these states, in the order of their proposal."""
        return [trial for trial in self.all() if trial.state in states]

    def all(self) -> list[TrialRecord]:
        """All trials as they stand now; safe beside a thread that adds some."""
        return list(self.trials.values())


def ended_event(trial_id: str, state: str, reason: str) -> Event:
    """A trial is over: completed, pruned, stopped or failed."""
    return {"event": "ended", "trial_id": trial_id, "state": state, "reason": reason}


def load_ledger(path: Path) -> Ledger:
    """The state of all trials as a journal tells it."""
    ledger = Ledger()
    for event in read_journal(path):
        ledger.apply(event)
    return ledger


def search_trials(ledger: Ledger) -> list[TrialRecord]:
    """The trials of a search itself, without those that confirm."""
    return [trial for trial in ledger.all() if not trial.cell]
