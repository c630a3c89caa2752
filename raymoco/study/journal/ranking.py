"""Trials in the order of their scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from raymoco.study.journal.events import Dropped, Ended, SweepEvent
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.sweepfile.sections import Objective


def ranked(trials: Iterable[TrialRecord], objective: Objective) -> list[TrialRecord]:
    """Return the completed trials with a finite score, the best first.

    NaN would make the order arbitrary, because it compares neither less nor greater.
    """
    done = [
        trial
        for trial in trials
        if trial.completed and math.isfinite(trial.score(objective.metric))
    ]
    sign = -1 if objective.mode == "max" else 1
    return sorted(done, key=lambda trial: sign * trial.score(objective.metric))


def pareto_front(
    trials: Iterable[TrialRecord], objectives: Sequence[Objective]
) -> list[TrialRecord]:
    """Return the completed trials that no other dominates, the best in the first objective first.

    A trial dominates another if it is at least as good in every objective and better in one. Trials
    with a score that is not finite are left out, because no trial would ever dominate them.
    """
    done = [
        trial
        for trial in trials
        if trial.completed and all(math.isfinite(trial.score(o.metric)) for o in objectives)
    ]
    scores = [[trial.score(objective.metric) for objective in objectives] for trial in done]
    higher = [objective.mode == "max" for objective in objectives]
    front = [done[index] for index in undominated(scores, higher)]
    signs = [-1 if objective.mode == "max" else 1 for objective in objectives]
    return sorted(
        front,
        key=lambda trial: [
            sign * trial.score(o.metric) for sign, o in zip(signs, objectives, strict=True)
        ],
    )


def undominated(points: Sequence[Sequence[float]], higher: Sequence[bool]) -> list[int]:
    """Return the indices of the points that no other point dominates, in the given order.

    Args:
        points: one row of objectives each.
        higher: for each objective, whether higher is better.
    Returns:
        Points with equal objectives do not dominate each other: all of them are included.
    """
    signed = [
        [value if up else -value for value, up in zip(point, higher, strict=True)]
        for point in points
    ]
    # from the largest down no point dominates an earlier one, and whatever is dominated is
    # dominated by one of the front: comparing all with all takes minutes for 10,000 points
    front: list[list[float]] = []
    found = []
    for index in sorted(range(len(signed)), key=lambda at: signed[at], reverse=True):
        point = signed[index]
        if any(
            other != point and all(o >= p for o, p in zip(other, point, strict=True))
            for other in front
        ):
            continue
        found.append(index)
        if not front or front[-1] != point:
            front.append(point)
    return sorted(found)


def best_of(ledger: Ledger, objective: Objective) -> TrialRecord | None:
    """Return the best completed trial of a search, without confirmations."""
    best = ranked(ledger.search_trials, objective)
    return best[0] if best else None


class Leader:
    """The best completed trial so far, event by event: a long sweep is not ranked at each of them.

    Args:
        ledger: has applied each event before it comes here.
        cells: whether the trials of cells count too, each by itself.
    """

    def __init__(self, ledger: Ledger, objective: Objective, *, cells: bool = False) -> None:
        self._ledger, self._objective, self._cells = ledger, objective, cells
        self.best: TrialRecord | None = None
        for trial in ledger.all():
            self._consider(trial)

    def take(self, event: SweepEvent) -> None:
        """Compare the trial that an event ends."""
        if isinstance(event, Ended | Dropped):
            trial = self._ledger.trials.get(event.trial_id)
            if trial is not None:
                self._consider(trial)

    def _consider(self, trial: TrialRecord) -> None:
        if trial.cell and not self._cells:
            return
        found, best = self._ledger.judged(trial), self.best
        score = found.score(self._objective.metric)
        if not found.completed or not math.isfinite(score):
            return
        if best is None:
            self.best = found
            return
        old = best.score(self._objective.metric)
        # of equal ones the first in the order of the journal, as in `ranked`
        first = (bool(found.cell), found.place) < (bool(best.cell), best.place)
        if self._objective.better(score, old) or (score == old and first):
            self.best = found
