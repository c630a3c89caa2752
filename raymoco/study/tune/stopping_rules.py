"""The schedulers that raymoco ships, with their options: Ray Tune's, on evaluated epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from raymoco.config import Count, RunConfig, StrictModel
from raymoco.errors import ConfigError
from raymoco.study.sweepfile.search_scheduler import SearchScheduler
from raymoco.study.sweepfile.sections import Objective

if TYPE_CHECKING:
    from ray.tune.schedulers import MedianStoppingRule, TrialScheduler

    from raymoco.study.sweepfile.search_spec import SearchSpec

# Ray is imported where a scheduler is built, so that reading a sweep file does not wait for it


class Asha(SearchScheduler):
    """Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934)."""

    class Options(StrictModel):
        """The options beside the name in the sweep file."""

        grace_epochs: Count
        reduction_factor: float

    def build(self, options: Options, objective: Objective, epochs: int) -> TrialScheduler:
        """Build rungs at `grace_epochs` x `reduction_factor`^k."""
        from ray.tune.schedulers import AsyncHyperBandScheduler

        return AsyncHyperBandScheduler(
            time_attr="epoch",
            metric=objective.metric,
            mode=objective.mode,
            max_t=epochs,
            grace_period=options.grace_epochs,
            reduction_factor=options.reduction_factor,
            stop_last_trials=False,  # otherwise max_t would cut off the final evaluation
        )

    def check(self, options: Options, spec: SearchSpec, base: RunConfig) -> None:
        """Require the first rung before the last epoch."""
        check_grace(options.grace_epochs, base)


class Median(SearchScheduler):
    """The median stopping rule of Vizier (Golovin et al. 2017)."""

    class Options(StrictModel):
        """The options beside the name in the sweep file."""

        grace_epochs: Count
        min_trials: Count

    def build(self, options: Options, objective: Objective, epochs: int) -> TrialScheduler:
        """Judge from `grace_epochs` on, where `min_trials` other trials have come as far."""
        from ray.tune.schedulers import MedianStoppingRule

        return MedianStoppingRule(
            time_attr="epoch",
            metric=objective.metric,
            mode=objective.mode,
            grace_period=options.grace_epochs,
            min_samples_required=options.min_trials,
            # never: a trial cannot pause, because its gang would continue
            min_time_slice=math.inf,  # type: ignore[arg-type]
        )

    def learn(
        self, scheduler: TrialScheduler, trial: Any, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Add the curve without judging any trial.

        `on_trial_result` would compare the curve with those that happened to be read before it.
        """
        if rows:  # the rule does not accept an empty curve
            known = cast("MedianStoppingRule", scheduler)
            known._results[trial].extend(dict(row) for row in rows)

    def check(self, options: Options, spec: SearchSpec, base: RunConfig) -> None:
        """Require the first judgment before the last epoch."""
        check_grace(options.grace_epochs, base)


class NeverStop(SearchScheduler):
    """Every trial runs to its end."""

    class Options(StrictModel):
        """None."""

    def build(self, options: Options, objective: Objective, epochs: int) -> TrialScheduler:
        """Build a FIFO scheduler."""
        from ray.tune.schedulers import FIFOScheduler

        return FIFOScheduler()  # type: ignore[no-untyped-call]


def check_grace(grace_epochs: int, base: RunConfig) -> None:
    """Refuse a first judgment at the last epoch or after it.

    Raises:
        ConfigError: names both numbers.
    """
    if grace_epochs >= base.epochs:
        raise ConfigError(
            f"scheduler.grace_epochs is {grace_epochs}, but must be below run.epochs, "
            f"{base.epochs}: nothing would ever be stopped.",
            ("scheduler", "grace_epochs"),
        )
