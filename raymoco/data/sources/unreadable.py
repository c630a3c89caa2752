"""Read a file of a source: its bytes, or the reason why there are none."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from raymoco.errors import DataError

SPECIAL = "pipes, sockets and devices"
DANGLING = "links that lead nowhere"
UNREADABLE = "files that cannot be opened"

_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_CLOSED = (errno.EACCES, errno.EPERM)


class Unreadable(bytes):
    """No bytes, in place of an image; the build counts it with the corrupt for this reason.

    Attributes:
        why: as the reason of a remark.
    """

    why: str

    def __new__(cls, why: str) -> Unreadable:
        empty = super().__new__(cls)
        empty.why = why
        return empty


def read_file(path: Path, missing: str | None = None) -> bytes:
    """The content of a file; `Unreadable` where it is none, or may not be read.

    Args:
        missing: the reason where there is no such file; None: it was there a moment ago.
    Raises:
        DataError: the disk fails, or the file has gone meanwhile.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            return path.read_bytes()
        # to open a pipe would wait for ever, and a device may never end
        return Unreadable(missing if missing and stat.S_ISDIR(mode) else SPECIAL)
    except OSError as error:
        if error.errno in _CLOSED:
            return Unreadable(UNREADABLE)
        if error.errno in _NOTHING_THERE:
            if os.path.islink(path):
                return Unreadable(DANGLING)
            if missing:
                return Unreadable(missing)
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
