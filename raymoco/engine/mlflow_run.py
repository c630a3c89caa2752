"""A run's journal in MLflow's terms: one MLflow run for ever, resumed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raymoco.config import RunConfig
from raymoco.event_log import Event
from raymoco.tracking import PARENT, RUNNING, Change, points_of
from raymoco.yamlfile import flatten

# what a person would compare between runs that were started one by one
COMPARED: dict[str, Any] = {
    "data": {"source", "labelled_fraction", "mix"},
    "model": True,
    "method": True,
    "optim": True,
    "epochs": True,
    "seed": True,
}


class RunStory:
    """Reads the journal of `raymoco train` and says what each event means for MLflow.

    Args:
        folder: the run's; its files become artifacts.
        config: resolved.
    """

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self._folder, self._config = folder, config
        self._open = False

    def take(self, event: Event) -> list[Change]:
        """What an event changes; one of a kind that this version does not know changes nothing."""
        time, kind = event["time"], event["event"]
        if kind == "begun":
            self._open = True
            tags = {
                **event["tags"],
                "raymoco.kind": "run",
                "raymoco.seed": self._config.seed,
                "raymoco.state": RUNNING,
            }
            return [
                Change(
                    PARENT,
                    time,
                    name=self._config.run_name,
                    params=flatten(self._config.model_dump(include=COMPARED)),
                    tags=tags,
                    texts={"config.yaml": self._config.to_yaml()},
                    state=RUNNING,
                )
            ]
        if kind == "report":
            return [Change(PARENT, time, points=points_of(event["row"], time))]
        if kind == "closed":
            self._open = False
            tags = {"raymoco.state": event["state"]}
            files = {"metrics.csv": self._folder / "metrics.csv"}
            return [Change(PARENT, time, tags=tags, files=files, state=event["state"])]
        return []

    def open_runs(self) -> list[str]:
        """The key of the run, while it has not ended."""
        return [PARENT] if self._open else []
