"""A trial of a sweep once more, alone in this process: what its rows must be to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.checkpoint import find_checkpoint, load_checkpoint
from raymoco.engine.loop import run_loop
from raymoco.engine.session import Session
from raymoco.study.journal.ledger import TrialRecord


def alone(trial: TrialRecord, folder: Path, place: Path) -> list[dict[str, Any]]:
    """The rows of the same trial, run undisturbed in this process; its folder is `place`."""
    config = load_checkpoint(find_checkpoint(folder / "checkpoints" / trial.trial_id)).run_config
    images = load_images(config.data, ensure_shards(config.data, folder.parent))
    rows: list[dict[str, Any]] = []

    def keep(row: dict[str, Any], _: object) -> bool:
        rows.append(row)
        return False

    run_loop(config, images, Session(place, on_report=keep))
    return rows


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    """What a row says without what is measured in seconds."""
    return {k: v for k, v in row.items() if not k.startswith(("perf/", "train_seconds"))}
