"""Translate a run's journal for MLflow: one MLflow run for each run, resumed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, assert_never

from raymoco.config import RunConfig
from raymoco.engine.output_folder import RunFolder
from raymoco.engine.run_events import RUN_EVENTS, EpochDone, RunEvent
from raymoco.event_log import Begun, Closed, EventKinds, Unknown
from raymoco.tracking import PARENT, RUNNING, Change, points_of
from raymoco.yamlfile import flatten

# the settings that a user compares between runs that were started one by one
COMPARED: dict[str, Any] = {
    "data": {"source", "labelled_fraction", "mix"},
    "model": True,
    "method": True,
    "optim": True,
    "epochs": True,
    "seed": True,
}


class RunTranslator:
    """Reads the journal of `raymoco train` and translates each event for MLflow.

    Args:
        folder: the run's folder; its files become artifacts.
        config: resolved.
    """

    kinds: ClassVar[EventKinds[RunEvent]] = RUN_EVENTS

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self._folder, self._config = RunFolder(folder), config
        self._open = False

    def take(self, event: RunEvent) -> list[Change]:
        """What an event changes."""
        match event:
            case Begun():
                self._open = True
                return [self._begun(event)]
            case EpochDone():
                return [Change(PARENT, event.time, points=points_of(event.row, event.time))]
            case Closed():
                self._open = False
                return [self._closed(event)]
            case Unknown():
                return []
            case _:
                assert_never(event)

    def _begun(self, event: Begun) -> Change:
        tags = {
            **event.tags,
            "raymoco.kind": "run",
            "raymoco.seed": self._config.seed,
            "raymoco.state": RUNNING,
        }
        return Change(
            PARENT,
            event.time,
            name=self._config.run_name,
            params=flatten(self._config.model_dump(include=COMPARED)),
            tags=tags,
            texts={self._folder.config.name: self._config.to_yaml()},
            state=RUNNING,
        )

    def _closed(self, event: Closed) -> Change:
        files = (self._folder.metrics, self._folder.predictions)
        return Change(
            PARENT,
            event.time,
            tags={"raymoco.state": event.state},
            files={file.name: file for file in files},
            state=event.state,
        )

    def open_runs(self) -> list[str]:
        """The key of the run, while it has not ended."""
        return [PARENT] if self._open else []
