"""Files that several processes share: written whole, held by one of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from raymoco.errors import ConfigError

LEASE = ".lease"


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
