"""Adapter from a sweep file's scheduler to Ray Tune, for evaluated epochs only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raymoco.metrics import Row
from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.sweepfile.scheduler_options import Scheduler
from raymoco.study.sweepfile.search_scheduler import SearchScheduler
from raymoco.study.sweepfile.sections import Objective
from raymoco.study.tune.trainable import ASSIGNMENT


@dataclass(frozen=True)
class EarlierTrial:
    """The attributes of a Tune trial that schedulers read, for a trial of an earlier driver."""

    trial_id: str


class EvaluatedEpochs(TrialScheduler):
    """Calls a scheduler for evaluated epochs only, and ignores decisions that a gang cannot follow.

    Of the repeats of a proposal it judges the first one: a curve of another seed would be told to
    it as another trial. When a trial continues after a resume, the scheduler learns its known curve
    without judging it again. At the last epoch there is nothing left to stop. A pause is ignored,
    because the gang of the trial would continue training.

    Args:
        scheduler: makes the decisions.
        code: the SearchScheduler, whose `learn` is used.
        objective: by which trials are judged.
        epochs: the number of epochs of a whole run.
    """

    def __init__(
        self, scheduler: TrialScheduler, code: SearchScheduler, objective: Objective, epochs: int
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._scheduler, self._code = scheduler, code
        self._metric, self._epochs = objective.metric, epochs
        self._supports_buffered_results = scheduler.supports_buffered_results

    def learn(self, ended: Iterable[TrialRecord]) -> None:
        """Add the trials of an earlier driver as if they had just been reported."""
        for record in ended:
            past = EarlierTrial(record.trial_id)
            self._scheduler.on_trial_add(cast(Any, None), cast(Any, past))
            self._learn(past, [row for _, row in sorted(record.rows.items())])

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Add a trial of Tune, with its known rows if it continues."""
        if is_repeat(trial):
            return
        self._scheduler.on_trial_add(tune_controller, trial)
        self._learn(trial, known_rows(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide whether the trial continues."""
        if self._metric not in result or is_repeat(trial):
            return self.CONTINUE
        decision = self._scheduler.on_trial_result(tune_controller, trial, result)
        last = int(result["epoch"]) >= self._epochs
        return self.CONTINUE if last or decision == self.PAUSE else decision

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Record that a trial failed."""
        if is_repeat(trial):
            return
        self._scheduler.on_trial_error(tune_controller, trial)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Record that a trial has ended."""
        if is_repeat(trial):
            return
        self._scheduler.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Remove a trial that did not run."""
        if is_repeat(trial):
            return
        self._scheduler.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Return the trial that Tune starts next."""
        return self._scheduler.choose_trial_to_run(tune_controller)

    def debug_string(self) -> str:
        """Return a text for Tune's log."""
        return self._scheduler.debug_string()

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: a resume reads the journal."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, see `save`."""

    def _learn(self, trial: Any, rows: list[Row]) -> None:
        self._code.learn(self._scheduler, trial, [row for row in rows if self._metric in row])


def is_repeat(trial: Any) -> bool:
    """Whether a Tune trial is a further repeat of its proposal."""
    return bool(trial.config[ASSIGNMENT].repeat)


def known_rows(trial: Any) -> list[Row]:
    """Return the rows that an earlier driver reported for a Tune trial, by epoch."""
    if isinstance(trial, EarlierTrial):
        return []
    return [row for _, row in sorted(trial.config[ASSIGNMENT].rows.items())]


def fifo() -> TrialScheduler:
    """Every trial runs to its end."""
    return FIFOScheduler()  # type: ignore[no-untyped-call]


def build_scheduler(
    scheduler: Scheduler, objective: Objective, epochs: int, ended: Iterable[TrialRecord] = ()
) -> EvaluatedEpochs:
    """Build the scheduler that a sweep file names.

    Args:
        epochs: the number of epochs of a whole run.
        ended: trials of an earlier driver; they count as if they had just been reported.
    """
    code: SearchScheduler = scheduler.code
    built = code.build(scheduler.chosen, objective, epochs)
    asked = EvaluatedEpochs(built, code, objective, epochs)
    asked.learn(ended)
    return asked
