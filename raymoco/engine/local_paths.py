"""Paths of a config's data, made absolute before anything saves them or starts elsewhere."""

from __future__ import annotations

from raymoco.config import RunConfig
from raymoco.files import absolute_text

PATHS = ("data.root", "data.labelled_list", "data.labels_csv")


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """Return the config with the local paths of its data absolute, and so valid from anywhere.

    A run without a name keeps the one that its paths give as they were typed.
    """
    values = config.flat()
    now = {key: absolute_text(values[key]) for key in PATHS if values[key]}
    if all(values[key] == path for key, path in now.items()):
        return config
    return config.with_values({**now, "name": config.run_name})
