"""Resolve `auto` values from the images, and check that the queue fits them."""

from __future__ import annotations

from typing import Any

import torch

from raymoco.choices import BACKBONES, LOSSES, TERMS
from raymoco.config import RunConfig
from raymoco.data.views.build import resolve_views
from raymoco.engine.check_choices import check_choices
from raymoco.engine.local_paths import with_absolute_paths
from raymoco.engine.protocols.judge import spelled_protocols
from raymoco.engine.regime import queue_reach, uses_queue
from raymoco.errors import ConfigError
from raymoco.registry import options_of
from raymoco.ssl.query_gradient import bf16_is_fast


def resolve(config: RunConfig, *, channels: int, train_images: int) -> RunConfig:
    """Return the config with every `auto` and every default written out.

    Args:
        config: as the user gave it.
        channels: of the images, 1 or 3.
        train_images: N, the images that training draws from.
    Raises:
        ConfigError: the batch or the queue is too large for N images, the views do not suit them,
            or the config names code that is missing or does not keep its Protocol.
    """
    check_choices(config)
    batch = config.optim.batch_size
    if batch > train_images:
        raise ConfigError(
            f"optim.batch_size is {batch}, but there are only {train_images} training images."
        )
    _check_queue(config, train_images)
    config = with_absolute_paths(config)  # workers have another working directory
    precision = config.precision
    if precision == "auto":
        # the workers' GPUs are not visible here: Ampere (2020) and later compute bf16 fast; the
        # user sets fp32 for an older one
        fast = config.scale.gpus_per_worker > 0 or bf16_is_fast(torch.device("cpu"))
        precision = "bf16" if fast else "fp32"
    return config.with_values(
        {
            "data.views": resolve_views(config.data.views, config.data.source, channels),
            "data.label_seed": (
                config.seed if config.data.label_seed is None else config.data.label_seed
            ),
            "precision": precision,
            **_spelled(config),
            "eval.protocols": spelled_protocols(config.eval),
            "name": config.run_name,
        }
    )


def _spelled(config: RunConfig) -> dict[str, Any]:
    """The values that are named by import path, with their default options written out."""
    terms = {}
    for name, term in config.method.terms.items():
        options = options_of(TERMS.spelled(term.named(name)))
        terms[name] = {"use": term.use, "weight": term.weight, **options}
    return {
        "model.backbone": BACKBONES.spelled(config.model.backbone),
        "method.loss": LOSSES.spelled(config.method.loss),
        "method.terms": terms,
    }


def _check_queue(config: RunConfig, train_images: int) -> None:
    spare = train_images - config.optim.batch_size
    if uses_queue(config) and queue_reach(config) > spare:
        raise ConfigError(
            f"method.queue_size is {config.method.queue_size}, but with {train_images} training "
            f"images and batches of {config.optim.batch_size} it must be at most "
            f"{spare * (2 if config.method.symmetric else 1)}: beyond that about half of the "
            "queries meet an older key of their own image."
        )
