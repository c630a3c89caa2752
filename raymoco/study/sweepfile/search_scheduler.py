"""The Protocol of a scheduler, which `scheduler.name` names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from raymoco.config import RunConfig
from raymoco.study.sweepfile.sections import Objective

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler

    from raymoco.study.sweepfile.search_spec import SearchSpec


class SearchScheduler(Protocol):
    """Builds the Ray Tune scheduler of a search.

    Derive from it and define `build`. A class that does not derive from it must have all three
    methods. raymoco creates it without arguments. `Options`, a pydantic model in the class, checks
    the keys under `scheduler.options`.

    raymoco calls the scheduler for evaluated epochs only, and ignores STOP at a trial's last epoch
    and PAUSE, because the gang would continue training.
    """

    @abstractmethod
    def build(self, options: Any, objective: Objective, epochs: int) -> TrialScheduler:
        """Build the scheduler.

        Args:
            options: an instance of `Options`; None where the class has none.
            objective: the metric to judge by, and whether `max` or `min` is better. A result has
            the
                metric under its name, such as `eval/knn_top1`, and `epoch`.
            epochs: the number of epochs of a whole run.
        """

    def learn(
        self, scheduler: TrialScheduler, trial: Any, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Tell the scheduler what an earlier driver reported of a trial.

        It decides nothing: the trial has ended, or continues after these rows. By default each row
        is passed to `on_trial_result` and the answer is dropped.

        Args:
            trial: has a `trial_id`, and was added already.
            rows: by epoch, each with `epoch` and the objective's metric.
        """
        for row in rows:
            scheduler.on_trial_result(None, trial, dict(row))  # type: ignore[arg-type]

    def check(self, options: Any, spec: SearchSpec, base: RunConfig) -> None:
        """Refuse a search that the scheduler cannot do.

        Raises:
            ConfigError: says why; its `key` finds the line in the file.
        """
