"""Locks between processes: who runs a sweep or a run, builds shards, writes to a store.

A lock is released when its process ends, also by a kill. Storage without `flock` (some network file
systems) gets a marker file with the process's number and host instead; one whose process is gone is
taken over on the same host.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from raymoco.errors import ConfigError

LEASE = ".lease"
MARKER = ".held"  # the ending of a marker, beside the lock that the storage does not have
NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
POLL_S = 0.05


def hold(path: Path) -> BaseFileLock | None:
    """Lock a file until its `release()`; return None while another process holds it."""
    # not thread_local: one thread may release the lock that another one took
    lock: BaseFileLock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in NO_FLOCK:
            raise
        lock = SoftFileLock(marker_of(path), thread_local=False)
        try:
            lock.acquire(timeout=POLL_S)  # it looks twice whether the holder is gone
        except Timeout:
            return None
    return lock


def marker_of(path: Path) -> Path:
    """The file that stands for a lock where the storage has none."""
    return path.with_name(path.name + MARKER)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait for a lock, and hold it."""
    while (lock := hold(path)) is None:
        time.sleep(POLL_S)
    try:
        yield
    finally:
        lock.release()


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
        raise ConfigError(f"{folder}: another process is running this {kind}.{_why(folder)}")
    try:
        yield
    finally:
        held.release()


def _why(folder: Path) -> str:
    """Say who holds a lease on storage without locks, and what to do if that process is gone."""
    marker = marker_of(folder / LEASE)
    with suppress(OSError):
        pid, host, *_ = [*marker.read_text(encoding="utf-8").split(), "?", "?"]
        return (
            f" {marker} says that it is process {pid} on {host}; this storage has no locks, so "
            "delete the file if that process is gone."
        )
    return ""


def is_used(folder: Path) -> bool:
    """Whether a folder contains anything besides an abandoned lease."""
    leases = (LEASE, LEASE + MARKER)
    return folder.exists() and any(entry.name not in leases for entry in folder.iterdir())
