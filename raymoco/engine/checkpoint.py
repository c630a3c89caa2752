"""Checkpoints: one file with everything that a run needs to continue identically.

It contains no state of random generators: every epoch seeds them from (seed, epoch, rank), so the
epoch number is their state. See `loop.seed_epoch`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from os.path import exists, isdir, isfile  # Path's own raise where a name is too long
from pathlib import Path
from typing import Any

import torch

from raymoco.config import RunConfig
from raymoco.errors import ConfigError, DataError
from raymoco.reading import shown
from raymoco.yamlfile import Document, validate

FORMAT = 1
PATTERN = "epoch-*.pt"
SPARE = 2  # kept while a run continues: if the last one is damaged, there is one before it


_PARTS = {"config": dict, "epoch": int, "module": dict, "optimizer": dict, "data": dict}


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
    if not isfile(path):
        there = exists(path)
        raise DataError(f"{shown(path)}: {'no file' if there else 'no such checkpoint'}.")
    try:
        _refuse_changed(path)
        state = torch.load(path, map_location=device, weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise  # the file is intact: skipping it would repeat epochs that it contains
    except Exception as error:  # noqa: BLE001 - damaged bytes can raise any error
        raise DataError(
            f"{shown(path)}: cannot be read as a checkpoint, it may be damaged: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from None
    found = state.pop("format", None) if isinstance(state, dict) else None
    if found != FORMAT:
        raise DataError(
            f"{shown(path)}: checkpoint format is {found}, but this raymoco reads {FORMAT}."
        )
    wrong = next((n for n, kind in _PARTS.items() if not isinstance(state.get(n), kind)), "")
    if wrong or state.keys() != _PARTS.keys():
        raise DataError(f"{shown(path)}: is damaged: it has no {wrong or 'such parts'}.")
    checkpoint = Checkpoint(**state)
    try:
        checkpoint.run_config  # noqa: B018 - to refuse it here, where the file is known
    except ConfigError as error:
        raise DataError(f"{shown(path)}: its config cannot be used: {error}") from None
    return checkpoint


def _refuse_changed(path: Path) -> None:
    """Compare every part of the archive with its checksum, which torch.load does not look at."""
    with zipfile.ZipFile(path) as archive:
        changed = archive.testzip()
    if changed is not None:
        raise DataError(f"the checksum of {changed} is wrong.")


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
    if exists(place) and not isdir(place):
        return place
    for folder in (place / "checkpoints", place):
        found = list_checkpoints(folder)
        if found:
            return found[-1]
    raise DataError(
        f"{shown(place)}: no checkpoint there (looked for {PATTERN} and checkpoints/{PATTERN})."
    )
