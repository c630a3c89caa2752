"""Several objectives: which trials nobody beats in all of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from raymoco.study.journal import TrialRecord
from raymoco.study.spec import Objective
from raymoco.study.statistics.paired import pareto_front as undominated


def pareto_front(
    trials: Iterable[TrialRecord], objectives: Sequence[Objective]
) -> list[TrialRecord]:
    """The completed trials that no other one dominates, the best in the first objective first.

    A trial dominates another if it is at least as good in every objective and better in one. One
    with an objective that is not a finite number is passed over: nothing would ever dominate it.
    """
    done = [
        trial
        for trial in trials
        if trial.state == "completed"
        and all(math.isfinite(trial.final.get(o.metric, math.nan)) for o in objectives)
    ]
    scores = [[trial.final[objective.metric] for objective in objectives] for trial in done]
    higher = [objective.mode == "max" for objective in objectives]
    front = [done[index] for index in undominated(scores, higher)]
    signs = [-1 if objective.mode == "max" else 1 for objective in objectives]
    return sorted(
        front,
        key=lambda trial: [
            sign * trial.final[o.metric] for sign, o in zip(signs, objectives, strict=True)
        ],
    )
