"""Schedules over a training, as pure functions of the progress."""

from __future__ import annotations

import math
from typing import Literal

from raymoco.errors import ConfigError
from raymoco.ssl.argument_checks import require_choice


def learning_rate(
    progress_epochs: float,
    *,
    base: float,
    epochs: float,
    warmup_epochs: float = 0.0,
    schedule: Literal["cosine", "constant"] = "cosine",
) -> float:
    """Return the learning rate at a point of the training: linear warm-up from 0, then schedule.

    Args:
        progress_epochs: epochs done, 0 <= progress <= epochs; fractions count steps.
        base: the highest rate, > 0.
        epochs: length of the training, > 0.
        warmup_epochs: length of the warm-up, 0 <= warmup < epochs.
        schedule: "cosine" falls to 0 at `epochs`; "constant" stays at `base`.
    Returns:
        The rate, >= 0.
    Raises:
        ConfigError: an argument out of its range; names it, its value and the range.
    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts. Deviation: none.
    """
    require_choice("schedule", schedule, ("cosine", "constant"))
    if not base > 0:
        raise ConfigError(f"base is {base}, but must be above 0.")
    if not epochs > 0:
        raise ConfigError(f"epochs is {epochs}, but must be above 0.")
    if not 0 <= warmup_epochs < epochs:
        raise ConfigError(
            f"warmup_epochs is {warmup_epochs}, but must be at least 0 and below epochs, {epochs}."
        )
    if not 0 <= progress_epochs <= epochs:
        raise ConfigError(
            f"progress_epochs is {progress_epochs}, but must be from 0 to epochs, {epochs}."
        )
    if progress_epochs < warmup_epochs:
        return base * progress_epochs / warmup_epochs
    if schedule == "constant":
        return base
    share = (progress_epochs - warmup_epochs) / (epochs - warmup_epochs)
    return base * 0.5 * (1 + math.cos(math.pi * share))
