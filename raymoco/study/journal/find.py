"""Find the sweep or the run that a user names on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from os.path import exists, isdir  # Path's own raise where a name is too long
from pathlib import Path
from typing import Any

from raymoco.config import RunConfig, TrackingConfig, load_run_config
from raymoco.engine.output_folder import RunFolder, refuse_special, resolve_output
from raymoco.engine.run_events import RUN_EVENTS
from raymoco.errors import DataError
from raymoco.event_log import EventKinds
from raymoco.reading import expanded, shown
from raymoco.study.journal.events import SWEEP_EVENTS
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.sweepfile.load import Sweep, read_sweep

OUTPUT = "runs"


@dataclass(frozen=True)
class FoundFolder:
    """The folder of a sweep or a run; exactly one of `sweep` and `run` is set."""

    folder: Path
    sweep: Sweep | None = None
    run: RunConfig | None = None

    @property
    def tracking(self) -> TrackingConfig:
        """The `tracking` section of its config."""
        found = self.sweep.spec if self.sweep is not None else self.run
        assert found is not None
        return found.tracking

    @property
    def kinds(self) -> EventKinds[Any]:
        """The kinds of events in its journal."""
        return RUN_EVENTS if self.sweep is None else SWEEP_EVENTS


def find_folder(name_or_folder: str) -> Path:
    """Return the given folder, or the one with that name in the output folder.

    Raises:
        DataError: neither exists.
    """
    given = expanded(name_or_folder)
    if isdir(given):
        return given.resolve()
    named = resolve_output(OUTPUT) / name_or_folder
    if isdir(named):
        return named
    if exists(given):
        raise DataError(
            f"{shown(given)} is a file, but must be the folder of a sweep or a run, or its name."
        )
    raise DataError(
        f"'{shown(name_or_folder)}': no such folder, and no sweep or run of that name in "
        f"{resolve_output(OUTPUT)}."
    )


def find(name_or_folder: str) -> FoundFolder:
    """Return the sweep or the run in a folder.

    Raises:
        DataError: the folder has neither.
    """
    folder = find_folder(name_or_folder)
    refuse_special(folder)
    spec, config = SweepFolder(folder).spec, RunFolder(folder).config
    if spec.exists():
        return FoundFolder(folder, sweep=read_sweep(spec))
    if config.exists():
        return FoundFolder(folder, run=load_run_config(str(config), []))
    inside = [path.parent.name for path in sorted(folder.glob(f"*/{spec.name}"))]
    hint = f"; in it lie the sweeps {', '.join(inside)}" if inside else ""
    raise DataError(
        f"{folder}: neither a sweep nor a run (no {spec.name}, no {config.name}){hint}."
    )
