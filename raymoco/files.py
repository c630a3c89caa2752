"""Files that several processes share: atomic writes, locks, and absolute paths.

A process can lose its working directory: that of a Ray job is a temporary copy, which the agent of
another node on the same host unpacks again. From then on `getcwd` fails, and libraries call it
late. So a driver changes to a permanent directory, and `absolute` remembers where the command was
typed.
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
from raymoco.reading import expanded

LEASE = ".lease"
_left: Path | None = None  # the original working directory, after `standing_in` has left it


def working_directory() -> Path:
    """The directory in which the command was typed, where relative paths begin.

    Raises:
        InputError: it was deleted.
    """
    try:
        return _left or Path.cwd()
    except FileNotFoundError:
        raise InputError(
            "the working directory was deleted: change to one that is there."
        ) from None


def absolute(path: str | Path) -> Path:
    """Return an absolute path: expand `~`, and start relative paths where the command was typed.

    Raises:
        InputError: it is relative, and the working directory was deleted.
    """
    found = expanded(path)
    return found if found.is_absolute() else working_directory() / found


def absolute_text(path: str) -> str:
    """`absolute` for a value of a config; a URI (`s3://...`) stays as it is.

    Raises:
        InputError: it is relative, and the working directory was deleted.
    """
    return path if "://" in path else str(absolute(path))


@contextmanager
def standing_in(folder: Path, before: Path) -> Iterator[None]:
    """Change to a folder, created if it is missing, and return at the end.

    Args:
        before: `working_directory()`, read while it existed.
    Raises:
        ConfigError: the folder cannot be made.
    """
    global _left
    if _left is not None:  # a run around this one, or in another thread, has moved the process
        yield
        return
    # '' is the working directory, in a notebook and under `python -c`
    here = str(before) if "" in sys.path else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made a folder: {error.strerror}.") from None
    place = os.open(".", os.O_PATH)  # even a deleted directory can be opened and returned to
    try:
        os.chdir(folder)
        _left = before
        if here is not None:
            sys.path.insert(0, here)
        yield
    finally:
        _left = None
        if here is not None:
            sys.path.remove(here)
        os.fchdir(place)
        os.close(place)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a kill, sees either the old or the new content."""
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
    """Lock a file until its `release()`; return None while another process holds it.

    The lock is released when the process ends, also by a kill.
    """
    # not thread_local: one thread may release the lock that another one took
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


@contextmanager
def lease(folder: Path, kind: str) -> Iterator[None]:
    """Allow only one process per sweep or run.

    Args:
        folder: created if it is missing.
        kind: "sweep" or "run", for the message.
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
    """Whether a folder contains anything besides an abandoned lease."""
    return folder.exists() and any(entry.name != LEASE for entry in folder.iterdir())
