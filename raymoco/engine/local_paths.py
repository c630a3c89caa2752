"""Paths in a config, made absolute before anything saves them or starts elsewhere."""

from __future__ import annotations

import os

from raymoco.config import PUBLISHED, RunConfig
from raymoco.files import absolute_text

TABLE = "data.labels_csv"
WEIGHTS = "model.weights"
PATHS = ("data.root", "data.labelled_list", TABLE, WEIGHTS)


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """Return the config with the local paths in it absolute, and so valid from anywhere.

    A run without a name keeps the one that its paths give as they were typed.
    """
    values = config.flat()
    now = {key: absolute_text(values[key]) for key in PATHS if values[key]}
    if now.get(WEIGHTS) and values[WEIGHTS].startswith(PUBLISHED):
        del now[WEIGHTS]
    table, root = values[TABLE], now.get("data.root")
    if table and root and not os.path.isfile(now[TABLE]):
        inside = os.path.join(root, table)  # it may be named from the root, too
        now[TABLE] = inside if os.path.isfile(inside) else now[TABLE]
    if all(values[key] == path for key, path in now.items()):
        return config
    return config.with_values({**now, "name": config.run_name})
