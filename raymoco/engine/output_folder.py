"""Where results go."""

from __future__ import annotations

import os
from pathlib import Path

JOB_MARK = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def inside_job() -> bool:
    """Whether this process was started by `ray job submit`."""
    return JOB_MARK in os.environ


def resolve_output(output: str) -> Path:
    """The absolute output folder.

    Inside a Ray job a relative one lies under `$RAYMOCO_HOME` (default `~/raymoco`): the job's
    working directory is a temporary copy and would vanish with the results.
    """
    path = Path(output).expanduser()
    if path.is_absolute():
        return path
    base = Path.cwd()
    if inside_job():
        base = Path(os.environ.get("RAYMOCO_HOME", "~/raymoco")).expanduser()
    return (base / path).resolve()
