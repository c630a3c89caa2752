"""Several objectives: which trials nobody beats in all of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from raymoco.study.journal import TrialRecord
from raymoco.study.spec import Objective


def pareto_front(
    trials: Iterable[TrialRecord], objectives: Sequence[Objective]
) -> list[TrialRecord]:
    """The completed trials that no other one dominates, the best in the first objective first.

    A trial dominates another if it is at least as good in every objective and better in one.
    """
    done = [
        t for t in trials if t.state == "completed" and all(o.metric in t.final for o in objectives)
    ]
    front = [
        trial for trial in done if not any(_dominates(other, trial, objectives) for other in done)
    ]
    signs = [-1 if objective.mode == "max" else 1 for objective in objectives]
    return sorted(
        front,
        key=lambda trial: [
            sign * trial.final[o.metric] for sign, o in zip(signs, objectives, strict=True)
        ],
    )


def _dominates(a: TrialRecord, b: TrialRecord, objectives: Sequence[Objective]) -> bool:
    scores = [(o, a.final[o.metric], b.final[o.metric]) for o in objectives]
    worse = any(objective.better(theirs, ours) for objective, ours, theirs in scores)
    better = any(objective.better(ours, theirs) for objective, ours, theirs in scores)
    return better and not worse
