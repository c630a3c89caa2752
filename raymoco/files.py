"""Files that several processes share: written whole, held by one of them, and found from anywhere.

A process may lose its working directory: of a Ray job it is a temporary copy, which the agent of
another node on the same host unpacks anew. From then on `getcwd` fails, and libraries call it late.
So a driver leaves it for a directory that stays, and `absolute` remembers where it was.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from raymoco.errors import ConfigError, InputError

LEASE = ".lease"
_left: Path | None = None  # the working directory in which this process was started, once left


def working_directory() -> Path:
    """Where relative paths begin: where the command was typed.

    Raises:
        InputError: somebody has deleted it.
    """
    try:
        return _left or Path.cwd()
    except FileNotFoundError:
        raise InputError(
            "the working directory was deleted: change to one that is there."
        ) from None


def absolute(path: str | Path) -> Path:
    """An absolute path: `~` is a home, and what is relative begins where the command was typed.

    Raises:
        InputError: it is relative, and the working directory was deleted.
    """
    found = Path(path).expanduser()
    return found if found.is_absolute() else working_directory() / found


@contextmanager
def standing_in(folder: Path, before: Path) -> Iterator[None]:
    """Leave the working directory for a folder, made if it is not there, and come back at the end.

    Args:
        before: `working_directory()`, asked for while it was there.
    Raises:
        ConfigError: the folder cannot be made.
    """
    global _left
    outer = _left
    # '' is the working directory, in a notebook and under `python -c`
    here = str(before) if "" in sys.path else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made a folder: {error.strerror}.") from None
    place = os.open(".", os.O_PATH)  # a deleted directory too can be opened, and come back to
    try:
        os.chdir(folder)
        _left = before
        if here is not None:
            sys.path.insert(0, here)
        yield
    finally:
        _left = outer
        if here is not None:
            sys.path.remove(here)
        os.fchdir(place)
        os.close(place)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a kill, sees the old one or the new one and no third."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def hold(path: Path) -> BaseFileLock | None:
    """Hold a lock file until its `release()`, or None while another process holds it.

    The end of the process, a kill too, lets it go.
    """
    # thread_local: a thread may let go of what another one has taken
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


@contextmanager
def lease(folder: Path, kind: str) -> Iterator[None]:
    """One process per sweep or run.

    Args:
        folder: made if it is not there.
        kind: what lies in it, for the message: "sweep" or "run".
    Raises:
        ConfigError: another process holds the lease.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = hold(folder / LEASE)
    if held is None:
        raise ConfigError(f"{folder}: another process is running this {kind}.")
    try:
        yield
    finally:
        held.release()


def is_used(folder: Path) -> bool:
    """Whether something lies in a folder, but for the lease of somebody who left nothing else."""
    return folder.exists() and any(entry.name != LEASE for entry in folder.iterdir())
