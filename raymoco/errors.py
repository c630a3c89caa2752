"""Every error that raymoco raises on purpose.

    RaymocoError                 exit 1
    ├── InputError               exit 2: the user can mend it by changing what was typed or stored
    │   ├── ConfigError          a value, a key or a combination of them
    │   └── DataError            a folder, an image, a shard or its manifest
    └── TrainingError            exit 1: a run that started and could not end
        ├── NotFiniteError       a loss or a gradient became NaN or infinite
        └── GangError            a gang of workers was lost, or could not start

A message is one sentence or two: what is wrong, where, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class RaymocoError(Exception):
    """What every error raised on purpose derives from; `exit_code` is the process's status."""

    exit_code = 1


class InputError(RaymocoError):
    """The user can mend it: wrong usage, a wrong file, a wrong value."""

    exit_code = 2


class ConfigError(InputError):
    """A key, a value or a combination of values that no run can have.

    Args:
        text: the message.
        key: the key that it is about, as a path in its file: `("search", "optim.lr", "when")`.
            Whoever has the file puts file and line before the message: `Document.locating`. None
            where that has been done, or where no key is to blame.
    """

    def __init__(self, text: str, key: tuple[str, ...] | None = None) -> None:
        super().__init__(text)
        self.key = key


class DataError(InputError):
    """Images, shards or manifests that are missing, broken or not what they claim to be."""


class TrainingError(RaymocoError):
    """A run started and could not come to its end."""


class NotFiniteError(TrainingError):
    """A loss became NaN or infinite; the message says at which epoch."""


class GangError(TrainingError):
    """A gang of workers was lost, or never came up."""


@contextmanager
def concerning(*key: str) -> Iterator[None]:
    """Say which key a ConfigError from inside is about, unless it says so itself."""
    try:
        yield
    except ConfigError as error:
        if error.key is None:
            error.key = key
        raise
