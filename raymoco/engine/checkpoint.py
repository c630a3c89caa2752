"""Checkpoints: one file with everything that a run needs to continue identically.

It contains no state of random generators: every epoch seeds them from (seed, epoch, rank), so the
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
SPARE = 2  # kept while a run continues: if the last one is damaged, there is one before it


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
    """Write `folder/epoch-00007.pt` atomically and delete older checkpoints.

    Returns:
        The path written. The newest `keep` files are kept.
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
    """The file name of the checkpoint after so many epochs."""
    return f"epoch-{epoch:05d}.pt"


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob(PATTERN))


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read one checkpoint; put its tensors on `device`.

    Raises:
        DataError: no such file, not a checkpoint, damaged, or of another format.
        MemoryError, torch.OutOfMemoryError: it does not fit into memory.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such checkpoint.")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise  # the file is intact: skipping it would repeat epochs that it contains
    except Exception as error:  # noqa: BLE001 - damaged bytes can raise any error
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
    """Read a checkpoint, or if it is damaged the newest intact one before it.

    Args:
        say: called with a message about each damaged one.
    Returns:
        None if none can be read: the run starts from the beginning.
    """
    for one in reversed([p for p in list_checkpoints(path.parent) if p.name <= path.name]):
        try:
            return load_checkpoint(one, device)
        except DataError as error:
            say(f"{error} The one before it is taken.")
    return None


def find_checkpoint(place: Path) -> Path:
    """Find the checkpoint at a path: a file, a run's folder, or its checkpoints/ folder.

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
