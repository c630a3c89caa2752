"""Tune's schedulers by name, on epochs that were evaluated."""

from __future__ import annotations

import math

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from raymoco.study.spec import Objective, Scheduler


def fifo() -> TrialScheduler:
    """Every trial runs to its end."""
    return FIFOScheduler()  # type: ignore[no-untyped-call]


def build_scheduler(scheduler: Scheduler, objective: Objective, epochs: int) -> TrialScheduler:
    """The scheduler that a sweep file names.

    Args:
        epochs: of a whole run.
    """
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
