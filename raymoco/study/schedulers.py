"""Tune's schedulers by name, on epochs that were evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from raymoco.study.journal import TrialRecord
from raymoco.study.spec import Objective, Scheduler


@dataclass(eq=False)
class Past:
    """What a scheduler asks of a Tune trial that ended in an earlier driver."""

    trial_id: str


def fifo() -> TrialScheduler:
    """Every trial runs to its end."""
    return FIFOScheduler()  # type: ignore[no-untyped-call]


def build_scheduler(
    scheduler: Scheduler, objective: Objective, epochs: int, ended: Iterable[TrialRecord] = ()
) -> TrialScheduler:
    """The scheduler that a sweep file names.

    Args:
        epochs: of a whole run.
        ended: trials of an earlier driver: what they reached counts as if it had just come in.
    """
    built = _build(scheduler, objective, epochs)
    for trial in ended:
        past: Any = Past(trial.trial_id)
        controller: Any = None  # neither of the two asks it for anything
        built.on_trial_add(controller, past)
        for _, row in sorted(trial.rows.items()):
            built.on_trial_result(controller, past, dict(row))
    return built


def _build(scheduler: Scheduler, objective: Objective, epochs: int) -> TrialScheduler:
    if scheduler.name == "asha":
        return AsyncHyperBandScheduler(
            time_attr="epoch",
            metric=objective.metric,
            mode=objective.mode,
            max_t=epochs,
            grace_period=scheduler.grace_epochs,
            reduction_factor=scheduler.reduction_factor,
            stop_last_trials=False,  # or max_t would cut the final probe
        )
    if scheduler.name == "median":
        return MedianStoppingRule(
            time_attr="epoch",
            metric=objective.metric,
            mode=objective.mode,
            grace_period=scheduler.grace_epochs,
            min_samples_required=scheduler.min_trials,
            # never: a trial cannot pause, its gang trains on
            min_time_slice=math.inf,  # type: ignore[arg-type]
        )
    return fifo()
