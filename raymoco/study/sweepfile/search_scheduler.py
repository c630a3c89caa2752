"""What `scheduler.name` may name: the Protocol of a scheduler."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from raymoco.config import RunConfig
from raymoco.study.sweepfile.sections import Objective

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler

    from raymoco.study.sweepfile.sweep import SearchSpec


class SearchScheduler(Protocol):
    """Builds the Ray Tune scheduler of a search.

    Derive from it and define `build`. A class of its own must have all three methods. It is created
    without arguments. `Options`, a pydantic model in the class, checks what stands under
    `scheduler.options`.

    Raymoco stands between Tune and the scheduler, so that it is asked about evaluated epochs only,
    no trial is ended at its last epoch, and none is paused: its gang would train on.
    """

    @abstractmethod
    def build(self, options: Any, objective: Objective, epochs: int) -> TrialScheduler:
        """The scheduler.

        Args:
            options: an instance of `Options`; None where the class has none.
            objective: the metric to judge by, and whether `max` or `min` is better. A result has it
                by its name, `eval/knn_top1`, and `epoch`.
            epochs: of a whole run.
        """

    def learn(
        self, scheduler: TrialScheduler, trial: Any, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Tell a scheduler that `build` returned what an earlier driver heard of a trial.

        Nothing is to be decided by it: the trial has ended, or it goes on behind these rows. By
        default the scheduler hears each row as a result, and its answer is dropped.

        Args:
            trial: has a `trial_id`, and was added already.
            rows: by epoch, each with `epoch` and the objective's metric.
        """
        for row in rows:
            scheduler.on_trial_result(None, trial, dict(row))  # type: ignore[arg-type]

    def check(self, options: Any, spec: SearchSpec, base: RunConfig) -> None:
        """Refuse a search that the scheduler cannot do.

        Raises:
            ConfigError: says what stands against it; its `key` finds the line in the file.
        """
