"""What a sweep's journal says of its trials: the state that resume, status and reports read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raymoco.engine.metrics_file import Row
from raymoco.journal import Event as Event
from raymoco.journal import Journal as Journal
from raymoco.journal import read_journal as read_journal

INTERRUPTED = "interrupted"  # the reason of a trial that Ctrl-C or SIGTERM ended
ENDED = ("completed", "pruned", "stopped", "failed")


@dataclass
class TrialRecord:
    """One trial as the journal tells it.

    `phase` is `tune` for a trial that only tuned its cell, and empty for every other.
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
    mlflow_run_id: str = ""

    @property
    def final(self) -> Row:
        """The last known value of every metric."""
        merged: Row = {}
        for epoch in sorted(self.rows):
            merged.update(self.rows[epoch])
        return merged

    @property
    def epochs(self) -> int:
        """How many epochs it has trained."""
        return max(self.rows, default=0)


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
            trial.state, trial.attempt = "running", event["attempt"]
            trial.began = trial.began or event["time"]
            trial.ended, trial.reason = None, ""  # an interrupted one that goes on
        elif kind == "report":
            trial.rows[int(event["row"]["epoch"])] = event["row"]
            trial.checkpoint = event["checkpoint"] or trial.checkpoint
        elif kind == "retry":
            trial.state, trial.reason = "waiting", event["reason"]
            trial.failures += 1
        elif kind == "paused":
            trial.state = "paused"
        elif kind == "changed":
            trial.values = event["values"]
        elif kind == "tracked":
            trial.mlflow_run_id = event["run_id"]
        elif kind == "ended" and trial.state not in ENDED:
            trial.state, trial.reason = event["state"], event["reason"]
            trial.ended = event["time"]

    def in_state(self, *states: str) -> list[TrialRecord]:
        """The trials in one of these states, in the order of their proposal."""
        return [trial for trial in self.all() if trial.state in states]

    def all(self) -> list[TrialRecord]:
        """All trials as they stand now; safe beside a thread that adds some."""
        return list(self.trials.values())


def load_ledger(path: Path) -> Ledger:
    """The state of all trials as a journal tells it."""
    ledger = Ledger()
    for event in read_journal(path):
        ledger.apply(event)
    return ledger
