"""The output folder and the files in a run's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from raymoco.errors import ConfigError
from raymoco.event_log import JOURNAL
from raymoco.files import absolute
from raymoco.reading import expanded

RAY_FOLDER = ".ray"
PREDICTIONS = "predictions.npz"
JOB_MARK = "RAY_JOB_CONFIG_JSON_ENV_VAR"
RESERVED = ("shards", "mlartifacts", "mlflow.db")  # other names in an output folder
# the file that a folder of each kind has from the start, and the other kind never has
MARKS = {"sweep": "sweep.yaml", "run": "config.yaml"}


@dataclass(frozen=True)
class RunFolder:
    """The paths of the files in a run's folder."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def journal(self) -> Path:
        """All events."""
        return self.path / JOURNAL

    @property
    def metrics(self) -> Path:
        """A row per epoch."""
        return self.path / "metrics.csv"

    @property
    def log(self) -> Path:
        """The run's log."""
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.path / "checkpoints"

    @property
    def predictions(self) -> Path:
        """What it predicted for each image that judged it; see engine/predictions.py."""
        return self.path / PREDICTIONS

    @property
    def profile(self) -> Path:
        """The folder of its profile, if one was asked for."""
        return self.path / "profile"


def inside_job() -> bool:
    """Whether this process was started by `ray job submit`."""
    return JOB_MARK in os.environ


def resolve_output(output: str) -> Path:
    """The absolute output folder.

    Inside a Ray job a relative folder is below `$RAYMOCO_HOME` (default `~/raymoco`): the job's
    working directory is a temporary copy that is deleted with everything in it.
    """
    path = expanded(output)
    if path.is_absolute():
        return path
    if inside_job():
        path = expanded(os.environ.get("RAYMOCO_HOME", "~/raymoco")) / path
    return absolute(path).resolve()


def refuse_foreign(folder: Path, kind: str) -> None:
    """Refuse a folder that contains the other kind of result, a "sweep" or a "run".

    Raises:
        ConfigError: its name is reserved in an output folder, or it is of the other kind.
    """
    if folder.name in RESERVED:
        raise ConfigError(f"name is '{folder.name}', which is taken in an output folder.")
    for other, mark in MARKS.items():
        if other != kind and (folder / mark).exists():
            raise ConfigError(
                f"{folder} is the folder of a {other}, and no {kind} can be in it: choose another "
                "name with name=NAME."
            )
