"""From `data.source` to a source: ours by a short name, anybody's by `package.module:Name`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raymoco.choices import SOURCES
from raymoco.config import DataConfig
from raymoco.config.named import constructor
from raymoco.data.sources.source import Source
from raymoco.errors import ConfigError
from raymoco.files import absolute
from raymoco.registry import name_of


def open_source(data: DataConfig) -> Source:
    """The source that `data` names, its files found but not read.

    Raises:
        ConfigError: `data.root` is missing; or somebody's source is not there, does not keep the
            Protocol, or cannot be constructed.
        DataError: files are missing or have not the layout that the source expects; the message
            says where to put which.
    """
    construct = require_source(data)
    if SOURCES.find(data.source) is not None:
        source: Source = construct(data)
        return source
    root = data.root and str(absolute(data.root))  # this process may stand somewhere else by now
    source = construct(data.model_copy(update={"root": root}))
    for attribute in ("name", "classes"):
        if not hasattr(source, attribute):
            raise ConfigError(
                f"data.source is '{name_of(data.source)}', but it is no source: it has no "
                f"attribute {attribute}. It must keep {SOURCES.protocol}."
            )
    return source


def require_source(data: DataConfig) -> Callable[[DataConfig], Any]:
    """What constructs the source that `data` names; no file of it is looked at.

    Raises:
        ConfigError: there is no such code, it does not keep the Protocol, or an option is wrong.
    """
    return constructor(SOURCES, data.source, ("data",))
