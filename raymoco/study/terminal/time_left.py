"""The time that a sweep has run and the time left, as pure functions of its journal."""

from __future__ import annotations

from collections.abc import Sequence

from raymoco.event_log import Begun, Event
from raymoco.study.journal.events import ENDED, Assigned, Reported, TrialState
from raymoco.study.journal.ledger import Ledger
from raymoco.study.statistics.stopping import planned_trials
from raymoco.study.sweepfile.load import Sweep


def seconds_left(sweep: Sweep, ledger: Ledger, events: Sequence[Event], now: float) -> float | None:
    """Estimate the time left from the epochs per second since the last driver's first trial.

    With looks it is the time to the next one, which may be the last.
    """
    spec, epochs = sweep.spec, sweep.base.epochs
    since = max((n for n, event in enumerate(events) if isinstance(event, Begun)), default=0)
    recent = events[since:]
    first = next((event.time for event in recent if isinstance(event, Assigned)), None)
    reported = sum(isinstance(event, Reported) for event in recent)
    if first is None or not reported or now <= first:
        return None
    ended = ledger.in_state(*ENDED)
    usual = sum(trial.epochs for trial in ended) / len(ended) if ended else epochs
    running = ledger.in_state(TrialState.RUNNING)
    to_come = max(0, planned_trials(sweep, ledger) - len(ended) - len(running)) * usual
    to_come += sum(max(0.0, max(usual, trial.epochs) - trial.epochs) for trial in running)
    left = float(to_come * (now - first) / reported)
    if spec.budget.hours is not None:
        left = min(left, max(0.0, recent[0].time + spec.budget.hours * 3600 - now))
    return left


def active_seconds(events: Sequence[Event], now: float | None) -> float:
    """Return the time in which processes ran it, without pauses; the last one runs until `now`."""
    total = previous = 0.0
    begin: float | None = None
    for event in events:
        if isinstance(event, Begun):
            total += previous - begin if begin is not None else 0.0
            begin = event.time
        previous = event.time
    if begin is None:
        return 0.0
    return total + max(0.0, (previous if now is None else now) - begin)


def span(seconds: float) -> str:
    """Format a duration with its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
