"""From what a person types, a name or a folder, to the sweep or the run that lies there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raymoco.config import RunConfig, TrackingConfig, load_run_config
from raymoco.engine.output_folder import resolve_output
from raymoco.errors import DataError
from raymoco.study.sweepfile.load import Sweep, read_sweep

OUTPUT = "runs"


@dataclass(frozen=True)
class FoundFolder:
    """A sweep's or a run's folder; exactly one of `sweep` and `run` is there."""

    folder: Path
    sweep: Sweep | None = None
    run: RunConfig | None = None

    @property
    def tracking(self) -> TrackingConfig:
        """Where it was to be logged."""
        found = self.sweep.spec if self.sweep is not None else self.run
        assert found is not None
        return found.tracking


def find_folder(name_or_folder: str) -> Path:
    """The folder itself, or the one of that name in the output folder.

    Raises:
        DataError: neither is there.
    """
    given = Path(name_or_folder).expanduser()
    if given.is_dir():
        return given.resolve()
    named = resolve_output(OUTPUT) / name_or_folder
    if named.is_dir():
        return named
    raise DataError(
        f"'{name_or_folder}': no such folder, and no sweep or run of that name in "
        f"{resolve_output(OUTPUT)}."
    )


def find(name_or_folder: str) -> FoundFolder:
    """What lies in a folder.

    Raises:
        DataError: nothing of raymoco's lies there.
    """
    folder = find_folder(name_or_folder)
    if (folder / "sweep.yaml").exists():
        return FoundFolder(folder, sweep=read_sweep(folder / "sweep.yaml"))
    if (folder / "config.yaml").exists():
        return FoundFolder(folder, run=load_run_config(str(folder / "config.yaml"), []))
    inside = [path.parent.name for path in sorted(folder.glob("*/sweep.yaml"))]
    hint = f"; in it lie the sweeps {', '.join(inside)}" if inside else ""
    raise DataError(f"{folder}: neither a sweep nor a run (no sweep.yaml, no config.yaml){hint}.")
