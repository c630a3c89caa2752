"""Trials in the order of what they scored."""

from __future__ import annotations

import math
from collections.abc import Iterable

from raymoco.study.journal import TrialRecord
from raymoco.study.spec import Objective


def ranked(trials: Iterable[TrialRecord], objective: Objective) -> list[TrialRecord]:
    """The completed trials, best last evaluation first; without one that is not a finite number.

    A NaN compares with nothing: sorted among the others it would leave them in any order.
    """
    done = [
        trial
        for trial in trials
        if trial.state == "completed" and math.isfinite(trial.final.get(objective.metric, math.nan))
    ]
    sign = -1 if objective.mode == "max" else 1
    return sorted(done, key=lambda trial: sign * trial.final[objective.metric])
