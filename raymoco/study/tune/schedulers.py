"""A sweep file's scheduler as Ray Tune asks it: on evaluated epochs, and with what is known."""

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
class Past:
    """What a scheduler asks of a Tune trial that ended in an earlier driver."""

    trial_id: str


class EvaluatedEpochs(TrialScheduler):
    """Asks a scheduler where an epoch was evaluated, and holds back what a gang cannot do.

    A trial that goes on stands where it has been: the scheduler learns its curve, and does not
    judge it again. At the last epoch nothing is left to stop, and a pause is no pause: the gang of
    a trial would train on.

    Args:
        scheduler: the one that decides.
        code: knows how it learns.
        objective: what trials are judged by.
        epochs: of a whole run.
    """

    def __init__(
        self, scheduler: TrialScheduler, code: SearchScheduler, objective: Objective, epochs: int
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._scheduler, self._code = scheduler, code
        self._metric, self._epochs = objective.metric, epochs
        self._supports_buffered_results = scheduler.supports_buffered_results

    def learn(self, ended: Iterable[TrialRecord]) -> None:
        """Take the trials of an earlier driver as if they had just come in."""
        for record in ended:
            past = Past(record.trial_id)
            self._scheduler.on_trial_add(cast(Any, None), cast(Any, past))
            self._learn(past, [row for _, row in sorted(record.rows.items())])

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Tune has another trial; one that goes on brings its rows."""
        self._scheduler.on_trial_add(tune_controller, trial)
        self._learn(trial, known_rows(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on."""
        if self._metric not in result:
            return self.CONTINUE
        decision = self._scheduler.on_trial_result(tune_controller, trial, result)
        last = int(result["epoch"]) >= self._epochs
        return self.CONTINUE if last or decision == self.PAUSE else decision

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A trial failed."""
        self._scheduler.on_trial_error(tune_controller, trial)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial has ended."""
        self._scheduler.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """A trial that did not run is gone."""
        self._scheduler.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The trial that Tune starts next."""
        return self._scheduler.choose_trial_to_run(tune_controller)

    def debug_string(self) -> str:
        """For Tune's log."""
        return self._scheduler.debug_string()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is what a resume reads."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see save."""

    def _learn(self, trial: Any, rows: list[Row]) -> None:
        self._code.learn(self._scheduler, trial, [row for row in rows if self._metric in row])


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
) -> EvaluatedEpochs:
    """The scheduler that a sweep file names.

    Args:
        epochs: of a whole run.
        ended: trials of an earlier driver: what they reached counts as if it had just come in.
    """
    code: SearchScheduler = scheduler.code
    built = code.build(scheduler.chosen, objective, epochs)
    asked = EvaluatedEpochs(built, code, objective, epochs)
    asked.learn(ended)
    return asked
