"""The progress of a sweep: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from raymoco.study.journal.events import ENDED, Dropped, Ended, GangState, SweepEvent, TrialState
from raymoco.study.journal.ledger import Ledger
from raymoco.study.journal.ranking import Leader
from raymoco.study.sweepfile.sections import Objective

QUIET_S = 10.0
SHARE = 0.05


class SweepProgress:
    """Shows the epochs done, the running trials and the best score so far.

    On a terminal it is one live line; elsewhere one line per ended trial, and one every `QUIET_S`
    seconds in between.
    """

    def __init__(self, console: Console, ledger: Ledger, objective: Objective, epochs: int) -> None:
        self._console, self._ledger, self._objective = console, ledger, objective
        self._epochs = epochs
        self._printed = time.monotonic()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[news]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: Any = None
        self._first = 0
        self._leader = Leader(ledger, objective, cells=True)
        self._due = 0.0  # when the bar is drawn again: it looks at every trial

    def __enter__(self) -> SweepProgress:
        self._bar.start()
        self._task = self._bar.add_task(
            "prepare", total=None, news="Ray starts, images are decoded"
        )
        if not self._console.is_terminal:
            self.say("prepare: Ray starts, images are decoded")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, what: str, trials: int) -> None:
        """Begin a phase of so many trials."""
        self._bar.remove_task(self._task)
        self._first = self._epochs_done()
        self._task = self._bar.add_task(what, total=trials * self._epochs, news="gangs start")
        self.say(f"{what}: {trials} trials")

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._printed = time.monotonic()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def take(self, event: SweepEvent) -> None:
        """Show the change by an event."""
        ledger = self._ledger
        self._leader.take(event)
        self._update()
        if isinstance(event, Ended):
            trial = ledger.trials[event.trial_id]
            score = trial.score(self._objective.metric)
            text = "" if math.isnan(score) else f"{self._objective.metric} {score:.4f}"
            reason = f"({trial.reason})" if trial.reason else ""
            self.say(f"{trial.trial_id} {trial.state:<9} {trial.epochs:>3} epochs  {text} {reason}")
        elif isinstance(event, Dropped):
            proposal = ledger.trials[event.trial_id].proposal
            self.say(f"{proposal} {event.state:<9} no further repeat  ({event.reason})")
        elif time.monotonic() - self._printed > QUIET_S and not self._console.is_terminal:
            self.say(self._news())

    def tick(self) -> None:
        """Print a line if nothing has happened for a while."""
        self._update()
        if not self._console.is_terminal and time.monotonic() - self._printed > QUIET_S:
            self.say(self._news())

    def _update(self) -> None:
        """Draw the bar, but not so often that it takes more than a small share of the time."""
        begun = time.monotonic()
        if self._bar.disable or begun < self._due:
            return
        done = self._epochs_done() - self._first
        self._bar.update(self._task, completed=done, news=self._news())
        ended = time.monotonic()
        self._due = ended + (ended - begun) / SHARE

    def _epochs_done(self) -> int:
        # epochs that an early stop saves count as done
        trials = self._ledger.all()
        done = sum(self._epochs if trial.state in ENDED else trial.epochs for trial in trials)
        return done + self._ledger.spared * self._epochs

    def _news(self) -> str:
        ledger = self._ledger
        running = ledger.in_state(TrialState.RUNNING)
        parts = [f"{t.trial_id} {t.epochs}/{self._epochs}" for t in running[:4]]
        if len(running) > 4:
            parts.append(f"and {len(running) - 4} more")
        best = self._leader.best
        if best is not None:
            score = best.score(self._objective.metric)
            parts.append(f"best {score:.4f} ({best.trial_id})")
        if not parts:
            up = sum(state == GangState.UP for state in ledger.gangs.values())
            parts.append(f"{up} gangs up, waiting for the first trial")
        return "  ".join(parts)
