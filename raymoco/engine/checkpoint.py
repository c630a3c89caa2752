"""Checkpoints: one file with everything that a run needs to continue identically.

It contains no state of random generators: every epoch seeds them from (seed, epoch, rank), so the
epoch number is their state. See `loop.seed_epoch`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os.path import exists, isdir, isfile  # Path's own raise where a name is too long
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from raymoco.config import RunConfig
from raymoco.engine.output_folder import MARKS
from raymoco.errors import ConfigError, DataError
from raymoco.files import replacing
from raymoco.reading import shown
from raymoco.yamlfile import Document, validate

FORMAT = 1
PATTERN = "epoch-*.pt"
ENCODER = "encoder-*.pt"  # the query encoder alone, of a trial that is not among the best
QUERY_ENCODERS = ("encoders.query.", "encoder.")  # of MoCo, of a method without keys
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

    @property
    def whole(self) -> bool:
        """Whether a run can go on from it; otherwise it has the query encoder only."""
        return bool(self.optimizer)


def bytes_of(state: Any) -> int:
    """Return the size of the tensors in a state; its file has some kilobytes more."""
    return sum(one.nbytes for one in _tensors(state))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _tensors(one)


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write `folder/epoch-00007.pt` atomically and delete older checkpoints.

    Returns:
        The path written. The newest `keep` files are kept.
    """
    path = folder / checkpoint_name(checkpoint.epoch)
    write_checkpoint(path, checkpoint)
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    for cut in folder.glob(f".{PATTERN}.*"):  # a kill came while it was written
        cut.unlink(missing_ok=True)
    return path


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Raises:
        DiskFullError: there is no room for it; what was there before is there.
    """
    write_state(path, {"format": FORMAT, **vars(checkpoint)})


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write what `torch.load(path, weights_only=True)` reads, atomically.

    Raises:
        DiskFullError: there is no room for it; what was there before is there.
    """
    with replacing(path, bytes_of(state)) as stream:
        watched = _Watched(stream)
        try:
            torch.save(state, cast(IO[bytes], watched))
        except Exception:
            if watched.error is not None:  # torch raises what says nothing of a disk
                raise watched.error from None
            raise


class _Watched:
    """A stream for torch.save that remembers why a write failed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self._stream.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._stream.flush()


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
    # by its name too: a network file system may list a file late that another node has written
    known = sorted({path, *list_checkpoints(path.parent)})
    for one in reversed([p for p in known if p.name <= path.name]):
        try:
            return load_checkpoint(one, device)
        except DataError as error:
            say(f"{error} The one before it is taken.")
    return None


def keep_encoder(folder: Path, written: Path | None = None, *, none: bool = False) -> bool:
    """Replace the checkpoints in a folder by the newest's query encoder, which is all that
    `load_encoder`, `evaluate` and `export` need.

    Args:
        written: one that is there, if this machine does not list it yet.
        none: do not keep the encoder either.
    Returns:
        Whether there was a checkpoint.
    Raises:
        DiskFullError: no room for the encoder; the checkpoints are there.
    """
    whole = list_checkpoints(folder)
    if written is not None and written not in whole and written.is_file():
        whole.append(written)
    if not whole:
        return False
    newest = None if none else load_newest(whole[-1], "cpu", lambda line: None)
    if newest is None and not none:
        return False  # damaged: there is nothing to save
    if newest is not None:
        newest.module = query_encoder(newest.module)
        newest.optimizer = {}
        number = checkpoint_name(newest.epoch).partition("-")[2]
        write_checkpoint(folder / f"encoder-{number}", newest)
    for path in whole:
        path.unlink(missing_ok=True)
    return True


def query_encoder(module: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of the query encoder, out of that of a method."""
    for prefix in QUERY_ENCODERS:
        own = [name for name in module if name.startswith(prefix)]
        if own:
            return {name.removeprefix(prefix): module[name] for name in own}
    raise DataError("a checkpoint has no query encoder")


def find_checkpoint(place: Path) -> Path:
    """Find the checkpoint at a path: a file, a run's folder, or its checkpoints/ folder.

    Raises:
        DataError: there is none.
    """
    if exists(place) and not isdir(place):
        return place
    for folder in (place / "checkpoints", place):
        found = newest_in(folder)
        if found is not None:
            return found
    raise DataError(_why_none(place))


def newest_in(folder: Path) -> Path | None:
    """The newest checkpoint right in a folder, or the encoder that is left of one; None if none."""
    found = list_checkpoints(folder) or sorted(folder.glob(ENCODER))
    return found[-1] if found else None


def _why_none(place: Path) -> str:
    """Say why no checkpoint is at a path."""
    if isfile(place / MARKS["sweep"]):
        return (
            f"{shown(place)} is a sweep, so name one of its trials: checkpoints/TRIAL in it, such "
            "as the first in its report."
        )
    if place.parent.name == "checkpoints" and isfile(place.parent.parent / MARKS["sweep"]):
        return (
            f"{shown(place)}: no checkpoint of this trial is there. Of a sweep's trials only the "
            "best keep theirs where checkpoint.losers is none, and one that failed may never have "
            "had one."
        )
    return f"{shown(place)}: no checkpoint there (looked for {PATTERN} and checkpoints/{PATTERN})."
