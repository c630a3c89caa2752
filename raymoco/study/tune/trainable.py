"""The Tune trainable: a thin client of the broker. The gangs train."""

from __future__ import annotations

from typing import Any

import ray
from ray import tune
from ray.exceptions import RayActorError

from raymoco.study.gangs.answers import TrialNews
from raymoco.study.gangs.trial_queue import Assignment

WAIT_S = 1.0
ASSIGNMENT = "assignment"
OVER = {"__duplicate__": True, "done": True}  # tells Tune: nothing new, the trial is done


class TrialClient(tune.Trainable):
    """Submits its trial in its first step, and returns one report per step."""

    _broker: Any
    _assignment: Assignment
    _submitted: bool

    def setup(self, config: dict[str, Any], broker: Any = None) -> None:
        """Set up the actor; Tune calls it."""
        self._broker = broker
        self._begin(config)

    def step(self) -> dict[str, Any]:
        """Return the next report of the trial; `OVER` at its end."""
        try:
            if not self._submitted:
                self._submitted = True
                ray.get(self._broker.submit.remote(self._assignment))
            while True:
                news: TrialNews = ray.get(
                    self._broker.next_row.remote(self._assignment.trial_id, WAIT_S)
                )
                if news.row is not None:
                    return news.row
                if news.end is not None:
                    return dict(OVER)
        except RayActorError:
            return dict(OVER)  # the broker has died: the driver reports it

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Reuse this actor for another trial; Tune calls it."""
        self._begin(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Return a pointer: the gang has written the checkpoint itself."""
        return {"trial_id": self._assignment.trial_id}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Do nothing: a resumed trial's assignment contains its checkpoint."""

    def _begin(self, config: dict[str, Any]) -> None:
        self._assignment = config[ASSIGNMENT]
        self._submitted = False
