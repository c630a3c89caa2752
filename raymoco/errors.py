"""Every error that raymoco raises on purpose.

    RaymocoError                 exit 1
    ├── InputError               exit 2: the user can fix it by changing a command, file or setting
    │   ├── ConfigError          a value, a key or a combination of them
    │   ├── DataError            a folder, an image, a shard or its manifest
    │   └── DiskFullError        no room for a file, or a quota is used up
    └── TrainingError            exit 1: a run that started and could not finish
        ├── NotFiniteError       a loss or a gradient became NaN or infinite
        └── GangError            a gang of workers was lost, or could not start

A message has one or two sentences: what is wrong, where, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class RaymocoError(Exception):
    """The base class of raymoco's own errors; `exit_code` is the status of the process."""

    exit_code = 1


class InputError(RaymocoError):
    """An error that the user can fix: wrong usage, a wrong file, a wrong value."""

    exit_code = 2


class ConfigError(InputError):
    """A key, a value or a combination of values that no run can have.

    Args:
        text: the message.
        key: the key that the message is about, as a path: `("search", "optim.lr", "when")`.
            `Document.locating` uses it to prepend file and line. None if the message has them
            already, or if it is about no key.
    """

    def __init__(self, text: str, key: tuple[str, ...] | None = None) -> None:
        super().__init__(text)
        self.key = key


class DataError(InputError):
    """Images, shards or manifests that are missing, damaged or inconsistent."""


class DiskFullError(InputError):
    """A file has no room on its disk, or within a quota: everything before it is there."""


class TrainingError(RaymocoError):
    """A run started and could not finish."""


class NotFiniteError(TrainingError):
    """A loss became NaN or infinite; the message says at which epoch."""


class GangError(TrainingError):
    """A gang of workers was lost, or could not start."""


@contextmanager
def concerning(*key: str) -> Iterator[None]:
    """Set the key of a ConfigError from inside the block, unless it has one."""
    try:
        yield
    except ConfigError as error:
        if error.key is None:
            error.key = key
        raise
