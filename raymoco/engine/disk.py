"""How much of a disk the checkpoints of a run take: told and checked before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from raymoco.config import RunConfig
from raymoco.engine.checkpoint import SPARE, bytes_of, query_encoder
from raymoco.errors import DiskFullError
from raymoco.files import bytes_in_words, free_bytes
from raymoco.ssl import build_method

STATES = {"sgd": 1, "adamw": 2}  # numbers that an optimizer keeps for each weight that it trains


class CheckpointSize(NamedTuple):
    """The bytes of a checkpoint, and those of its query encoder alone."""

    whole: int
    encoder: int

    def kept(self, losers: str) -> int:
        """What stays of a trial that is not among the best."""
        return {"encoder": self.encoder, "none": 0, "all": self.whole}[losers]


def checkpoint_size(
    config: RunConfig, *, channels: int, image_size: int, classes: int
) -> CheckpointSize:
    """Return the size of a run's checkpoints: its weights, queue and optimizer.

    Args:
        config: resolved.
        image_size: what the encoder sees.
        classes: their number.
    """
    module = build_method(
        config.model,
        config.method,
        channels=channels,
        image_size=image_size,
        classes=classes,
        seed=config.seed,
    )
    state = module.state_dict()
    trained = sum(one.nbytes for one in module.parameters() if one.requires_grad)
    return CheckpointSize(
        bytes_of(state) + STATES[config.optim.name] * trained, bytes_of(query_encoder(state))
    )


def at_once(config: RunConfig) -> int:
    """How many checkpoints a run has on the disk at most: one is written before an old one goes."""
    written = -(-config.epochs // config.checkpoint.every)
    return min(max(config.checkpoint.keep, SPARE) + 1, written)


def run_in_words(config: RunConfig, size: CheckpointSize) -> tuple[int, str]:
    """Return the bytes that a run's checkpoints take at most, and the same in words."""
    count = at_once(config)
    needed = count * size.whole
    return needed, (
        f"{count} checkpoints of {bytes_in_words(size.whole)} at once, {bytes_in_words(needed)}"
    )


def check_run(
    config: RunConfig,
    output: Path,
    *,
    channels: int,
    image_size: int,
    classes: int,
    there: Sequence[Path] = (),
) -> str:
    """Return what a run's checkpoints take and what is free, in words.

    Args:
        config: resolved.
        there: checkpoints that are on the disk already.
    Raises:
        DiskFullError: the disk is too small for them.
    """
    size = checkpoint_size(config, channels=channels, image_size=image_size, classes=classes)
    needed, words = run_in_words(config, size)
    needed -= sum(path.stat().st_size for path in there)
    return check_room(output, needed, words, "checkpoint.keep")


def check_room(output: Path, needed: int, words: str, cure: str) -> str:
    """Return what checkpoints take and what is free, in words.

    Args:
        needed: the bytes of all of them.
        words: the same with their number.
        cure: the keys that make it less.
    Raises:
        DiskFullError: the disk is too small for them.
    """
    free = free_bytes(output)
    if needed > free:
        raise DiskFullError(
            f"{output}: no room for {words}, because {bytes_in_words(free)} are free. Make room "
            f"there, choose another output, or keep less: {cure}."
        )
    return f"{words}; {bytes_in_words(free)} are free"
