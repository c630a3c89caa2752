"""Everything a run needs to go on as if nothing had happened, in one file.

The random numbers are not in it: every epoch seeds its generators from (seed, epoch, rank), so the
epoch number is their state. See `loop.seed_epoch`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from raymoco.config import RunConfig
from raymoco.errors import DataError
from raymoco.yamlfile import Document, validate

FORMAT = 1
PATTERN = "epoch-*.pt"
SPARE = 2  # kept while a run is not over: should the last be damaged, there is one before it


@dataclass
class Checkpoint:
    """A run after `epoch` epochs: module (both encoders, queue, step), optimizer, data facts."""

    config: dict[str, Any]
    epoch: int
    module: dict[str, Any]
    optimizer: dict[str, Any]
    data: dict[str, Any]

    @property
    def run_config(self) -> RunConfig:
        """The resolved config that the run was started with."""
        return validate(RunConfig, Document(dict(self.config)))


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write `folder/epoch-00007.pt` so that a kill leaves it whole or absent; drop older ones.

    Returns:
        The path written. The newest `keep` files stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / checkpoint_name(checkpoint.epoch)
    temporary = folder / f".{path.name}.{os.getpid()}"
    with temporary.open("wb") as stream:
        torch.save({"format": FORMAT, **vars(checkpoint)}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def checkpoint_name(epoch: int) -> str:
    """What the checkpoint after so many epochs is called."""
    return f"epoch-{epoch:05d}.pt"


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob(PATTERN))


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read one checkpoint; tensors land on `device`.

    Raises:
        DataError: no such file, not a checkpoint, damaged, or of another format.
        MemoryError, torch.OutOfMemoryError: there is no room for it.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such checkpoint.")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise  # the file is sound: to pass it over would train again what it holds
    except Exception as error:  # noqa: BLE001 - damaged bytes raise whatever they decode to
        raise DataError(
            f"{path}: cannot be read as a checkpoint, it may be damaged: {error}"
        ) from None
    found = state.pop("format", None) if isinstance(state, dict) else None
    if found != FORMAT:
        raise DataError(f"{path}: checkpoint format is {found}, but this raymoco reads {FORMAT}.")
    return Checkpoint(**state)


def load_newest(
    path: Path, device: torch.device | str, say: Callable[[str], None]
) -> Checkpoint | None:
    """Read a checkpoint, or if it is damaged the newest whole one before it.

    Args:
        say: told of each that is damaged.
    Returns:
        None if none can be read: the run begins anew.
    """
    for one in reversed([p for p in list_checkpoints(path.parent) if p.name <= path.name]):
        try:
            return load_checkpoint(one, device)
        except DataError as error:
            say(f"{error} The one before it is taken.")
    return None


def find_checkpoint(place: Path) -> Path:
    """The checkpoint meant by a path: a file, a run's folder, or its checkpoints/ folder.

    Raises:
        DataError: there is none.
    """
    if place.is_file():
        return place
    for folder in (place / "checkpoints", place):
        found = list_checkpoints(folder)
        if found:
            return found[-1]
    raise DataError(
        f"{place}: no checkpoint there (looked for {PATTERN} and checkpoints/{PATTERN})."
    )
