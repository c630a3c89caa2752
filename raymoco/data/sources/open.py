"""Open the source that `data.source` names: one of raymoco's or `package.module:Name`."""

from __future__ import annotations

from raymoco.choices import SOURCES
from raymoco.config import DataConfig
from raymoco.data.sources.source import Source
from raymoco.errors import ConfigError
from raymoco.files import absolute_text
from raymoco.registry import name_of


def open_source(data: DataConfig) -> Source:
    """Open the source that `data` names: find its files, but read none.

    Raises:
        ConfigError: `data.root` is missing; `data.labels_csv` names a table that the source does
            not read; or a third-party source is not found, does not keep the
            Protocol, or cannot be constructed.
        DataError: files are missing or do not have the layout that the source expects; the message
            says which file to put where.
    """
    if SOURCES.find(data.source) is not None:
        if data.labels_csv is not None and name_of(data.source) != "folder":
            raise ConfigError(
                f"data.labels_csv is '{data.labels_csv}', but data.source {name_of(data.source)} "
                "has its labels elsewhere; folder reads such a table."
            )
        ours: Source = SOURCES.make(data.source, data)
        return ours
    root = data.root and absolute_text(data.root)  # the working directory may be another one by now
    source: Source = SOURCES.make(data.source, data.model_copy(update={"root": root}))
    for attribute in ("name", "classes"):
        if not hasattr(source, attribute):
            raise ConfigError(
                f"data.source is '{name_of(data.source)}', but it is no source: it has no "
                f"attribute {attribute}. It must keep {SOURCES.protocol}."
            )
    return source


def require_source(data: DataConfig) -> None:
    """Refuse a source that cannot be constructed; no file is read.

    Raises:
        ConfigError: the code is not found, does not keep the Protocol, or an option is wrong.
    """
    SOURCES.options(data.source, SOURCES.load(data.source))
