"""The small run, for tests that need a training: an epoch of it takes a tenth of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raymoco.config import RunConfig
from raymoco.yamlfile import dump_yaml

SMALL: dict[str, Any] = {
    "data.limit": 300,
    "model.width": 4,
    "optim.batch_size": 64,
    "method.queue_size": 32,
}


def small_values(**changes: Any) -> dict[str, Any]:
    """Its values by dotted key, as `RunConfig.with_values` takes them.

    Args:
        changes: what is different, with two underscores for a dot: `data__limit=160`.
    """
    return SMALL | {key.replace("__", "."): value for key, value in changes.items()}


def small_run(**changes: Any) -> RunConfig:
    """Its config; `changes` as of `small_values`."""
    return RunConfig().with_values(small_values(**changes))


def small_words(**changes: Any) -> tuple[str, ...]:
    """`train digits ...`, as the command line takes it; `changes` as of `small_values`."""
    return ("train", "digits", *(f"{k}={value}" for k, value in small_values(**changes).items()))


def small_sweep(file: Path, text: str, **changes: Any) -> Path:
    """Write a sweep of small runs, called as the file, whose output is the file's folder.

    Args:
        text: the rest of the file, as YAML.
        changes: what is different in its `run`, as of `small_values`.
    """
    run: dict[str, Any] = {"preset": "digits"}
    for key, value in small_values(**changes).items():
        *sections, name = key.split(".")
        place = run
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    file.write_text(dump_yaml({"name": file.stem, "output": str(file.parent), "run": run}) + text)
    return file
