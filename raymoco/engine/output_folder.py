"""Where results go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from raymoco.errors import ConfigError
from raymoco.event_log import JOURNAL
from raymoco.files import absolute

RAY_FOLDER = ".ray"
JOB_MARK = "RAY_JOB_CONFIG_JSON_ENV_VAR"
RESERVED = ("shards", "mlartifacts", "mlflow.db")  # what else lies in an output folder
# what a folder of each kind has from its beginning on, and one of the other never
MARKS = {"sweep": "sweep.yaml", "run": "config.yaml"}


@dataclass(frozen=True)
class RunFolder:
    """What lies where in a run's folder."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def journal(self) -> Path:
        """What happened."""
        return self.path / JOURNAL

    @property
    def metrics(self) -> Path:
        """A row per epoch."""
        return self.path / "metrics.csv"

    @property
    def log(self) -> Path:
        """What the run said."""
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.path / "checkpoints"

    @property
    def profile(self) -> Path:
        """The folder of its profile, if one was asked for."""
        return self.path / "profile"


def inside_job() -> bool:
    """Whether this process was started by `ray job submit`."""
    return JOB_MARK in os.environ


def resolve_output(output: str) -> Path:
    """The absolute output folder.

    Inside a Ray job a relative one lies under `$RAYMOCO_HOME` (default `~/raymoco`): the job's
    working directory is a temporary copy and would vanish with the results.
    """
    path = Path(output).expanduser()
    if path.is_absolute():
        return path
    if inside_job():
        path = Path(os.environ.get("RAYMOCO_HOME", "~/raymoco")).expanduser() / path
    return absolute(path).resolve()


def refuse_foreign(folder: Path, kind: str) -> None:
    """Refuse a folder in which something else lies than what is to be written: "sweep" or "run".

    Raises:
        ConfigError: its name is taken in an output folder, or it is of the other kind.
    """
    if folder.name in RESERVED:
        raise ConfigError(f"name is '{folder.name}', which is taken in an output folder.")
    for other, mark in MARKS.items():
        if other != kind and (folder / mark).exists():
            raise ConfigError(
                f"{folder} is the folder of a {other}, and no {kind} can be in it: choose another "
                "name with name=NAME."
            )
