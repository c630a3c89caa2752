"""The end of a search by its budget of hours or its target."""

from __future__ import annotations

import time
from collections.abc import Callable

from raymoco.study.journal.ledger import Ledger
from raymoco.study.journal.ranking import best_of
from raymoco.study.sweepfile.sections import Budget, Objective, Pace


def budget_check(
    budget: Pace,
    objective: Objective,
    ledger: Ledger,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[], str | None]:
    """Return a function that returns why a search must end, or None; its hours start now.

    Args:
        ledger: kept up to date by the recorder.
        clock: returns seconds.
    """
    deadline = clock() + budget.hours * 3600 if budget.hours else None
    completed, found = -1, None  # it is asked often, and ranking a long sweep takes a while

    def enough() -> str | None:
        nonlocal completed, found
        if deadline is not None and clock() > deadline:
            return f"the budget of {budget.hours:g} hours is used up"
        target = budget.target if isinstance(budget, Budget) else None
        if target is None:
            return None
        now = sum(trial.completed for trial in ledger.all())
        if now != completed:
            completed, found = now, best_of(ledger, objective)
        if found is not None:
            score = found.score(objective.metric)
            if score == target or objective.better(score, target):
                return f"the target {target:g} is reached"
        return None

    return enough
