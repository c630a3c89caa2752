"""Trials in the order of what they scored."""

from __future__ import annotations

from collections.abc import Iterable

from raymoco.study.journal import TrialRecord
from raymoco.study.spec import Objective


def ranked(trials: Iterable[TrialRecord], objective: Objective) -> list[TrialRecord]:
    """The completed trials, best last evaluation first."""
    done = [t for t in trials if t.state == "completed" and objective.metric in t.final]
    sign = -1 if objective.mode == "max" else 1
    return sorted(done, key=lambda trial: sign * trial.final[objective.metric])
