"""Tune's schedulers by name, on epochs that were evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from raymoco.metrics import Row
from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.sweepfile.sections import Objective, Scheduler
from raymoco.study.tune.trainable import ASSIGNMENT


@dataclass(eq=False)
class Past:
    """What a scheduler asks of a Tune trial that ended in an earlier driver."""

    trial_id: str


class Asha(AsyncHyperBandScheduler):
    """Successive halving; a trial that goes on stands in the rungs that it has passed."""

    def on_trial_add(self, controller: Any, trial: Any) -> None:
        """Tune has another trial."""
        super().on_trial_add(controller, trial)
        self.learn(trial, known_rows(trial))

    def learn(self, trial: Any, rows: list[Row]) -> None:
        """What an earlier driver heard of a trial; nothing is decided by it."""
        for row in rows:
            super().on_trial_result(cast(Any, None), trial, dict(row))


class Median(MedianStoppingRule):
    """The median rule; of a trial that goes on it knows the curve so far."""

    def on_trial_add(self, controller: Any, trial: Any) -> None:
        """Tune has another trial."""
        super().on_trial_add(controller, trial)
        self.learn(trial, known_rows(trial))

    def learn(self, trial: Any, rows: list[Row]) -> None:
        """What an earlier driver heard of a trial; nothing is decided by it."""
        # not by on_trial_result: it would judge a whole curve by those that were read before it
        if rows:  # the rule takes an empty curve for one with a last epoch
            self._results[trial].extend(dict(row) for row in rows)


def known_rows(trial: Any) -> list[Row]:
    """What an earlier driver heard of a Tune trial, epoch by epoch."""
    if isinstance(trial, Past):
        return []
    return [row for _, row in sorted(trial.config[ASSIGNMENT].rows.items())]


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
    if isinstance(built, Asha | Median):
        for trial in ended:
            past = Past(trial.trial_id)
            built.on_trial_add(None, past)
            built.learn(past, [row for _, row in sorted(trial.rows.items())])
    return built


def _build(scheduler: Scheduler, objective: Objective, epochs: int) -> TrialScheduler:
    if scheduler.name == "asha":
        return Asha(
            time_attr="epoch",
            metric=objective.metric,
            mode=objective.mode,
            max_t=epochs,
            grace_period=scheduler.grace_epochs,
            reduction_factor=scheduler.reduction_factor,
            stop_last_trials=False,  # or max_t would cut the final probe
        )
    if scheduler.name == "median":
        return Median(
            time_attr="epoch",
            metric=objective.metric,
            mode=objective.mode,
            grace_period=scheduler.grace_epochs,
            min_samples_required=scheduler.min_trials,
            # never: a trial cannot pause, its gang trains on
            min_time_slice=math.inf,  # type: ignore[arg-type]
        )
    return fifo()
