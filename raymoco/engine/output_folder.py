"""The output folder and the files in a run's folder."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raymoco.errors import ConfigError
from raymoco.event_log import JOURNAL
from raymoco.files import absolute, nearest_folder
from raymoco.locks import is_used
from raymoco.reading import expanded

RAY_FOLDER = ".ray"
PREDICTIONS = "predictions.npz"
JOB_MARK = "RAY_JOB_CONFIG_JSON_ENV_VAR"
# other names in an output folder: MLflow's store, with what sqlite keeps beside it
STORE = "mlflow.db"
BESIDE = tuple(f"{STORE}-{ending}" for ending in ("journal", "wal", "shm"))
RESERVED = ("shards", "mlartifacts", STORE, *BESIDE)
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


def check_output(output: Path) -> None:
    """Refuse an output folder that nothing can be written to; leave nothing there.

    Raises:
        ConfigError: it is a file, or cannot be made or written to; says why.
    """
    place = nearest_folder(output)
    why = "" if place.is_dir() else f"{place} is a file"
    try:
        if not why:
            tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        why = error.strerror or str(error)
    if why:
        raise ConfigError(
            f"output is {output}, which is no folder that can be written to ({why}): choose "
            "another with output=FOLDER."
        )


def refuse_foreign(folder: Path, kind: str) -> None:
    """Refuse a folder that a "sweep" or a "run" cannot have, before anything is written.

    Raises:
        ConfigError: its name is reserved in an output folder, or too long; it is or lies in a
            folder of another sweep or run; it has files of somebody else, or what is no file.
    """
    name = folder.name
    if name.casefold() in RESERVED:
        raise ConfigError(f"name is '{name}', which is taken in an output folder.")
    length, longest = len(os.fsencode(name)), longest_name(folder.parent)
    if length > longest:
        raise ConfigError(
            f"name is '{name[:20]}...' with {length} bytes, but names of files in {folder.parent} "
            f"have at most {longest}."
        )
    for around in folder.parents:
        for other, mark in MARKS.items():
            if (around / mark).is_file() and (around / JOURNAL).is_file():
                raise ConfigError(
                    f"{folder} would be inside of {around}, which is the folder of a {other}: "
                    "choose another output."
                )
    for other, mark in MARKS.items():
        if other != kind and (folder / mark).exists():
            raise ConfigError(
                f"{folder} is the folder of a {other}, and no {kind} can be in it: choose another "
                "name with name=NAME."
            )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file: choose another name with name=NAME.")
    shown = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    if is_used(folder) and shown and not (folder / MARKS[kind]).exists():
        raise ConfigError(
            f"{folder} has files, such as {shown[0].name}, and is not the folder of a {kind} (no "
            f"{MARKS[kind]}): choose another name with name=NAME."
        )
    refuse_special(folder)


def longest_name(folder: Path) -> int:
    """Return how many bytes a file's name may have in a folder, which may not exist yet."""
    place = nearest_folder(folder)
    return os.pathconf(place if place.is_dir() else place.parent, "PC_NAME_MAX")


def refuse_special(folder: Path) -> None:
    """Refuse a folder of a sweep or a run with a pipe, a socket or a device in the place of a file.

    Reading from one may wait forever.

    Raises:
        ConfigError: names it.
    """
    for entry in _entries(folder):
        try:
            mode = os.stat(entry).st_mode
        except OSError:  # a link to nothing
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            what = "a named pipe" if stat.S_ISFIFO(mode) else "a device or a socket"
            raise ConfigError(f"{entry.path} is {what}, where a file is expected: remove it.")


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Everything but plain files in a folder and in the folders in it, but for Ray's."""
    for entry in _not_files(folder):
        yield entry
        if entry.is_dir(follow_symlinks=False) and entry.name != RAY_FOLDER:
            yield from _not_files(Path(entry.path))


def _not_files(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.is_file(follow_symlinks=False)]
