"""Checks of the losses' and regularizers' arguments: values, and shapes that fit together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from raymoco.errors import ConfigError


def require_temperature(temperature: float, field: str = "temperature") -> None:
    """Refuse a temperature outside (0, inf)."""
    if not 0 < temperature < math.inf:
        raise ConfigError(f"{field} is {temperature}, but must be above 0 and finite.")


def require_choice(field: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a value that is not among the choices."""
    if value not in choices:
        raise ConfigError(f"{field} is '{value}', but must be one of: {', '.join(choices)}.")


def require_batch(query: Tensor, key: Tensor) -> None:
    """Refuse anything but two (B, D) tensors of the same shape with B >= 1."""
    if query.dim() != 2 or query.shape != key.shape or query.shape[0] == 0:
        raise ConfigError(
            f"query has shape {tuple(query.shape)} and key has shape {tuple(key.shape)}, but both "
            "must be (B, D) with the same B >= 1 and D."
        )


def require_queue(query: Tensor, queue: Tensor) -> None:
    """Refuse a queue that is not (K, D) with the D of the query."""
    if queue.dim() != 2 or queue.shape[1] != query.shape[1]:
        raise ConfigError(
            f"queue has shape {tuple(queue.shape)}, but must be (K, D) with the D of query, which "
            f"has shape {tuple(query.shape)}."
        )


def require_labels(field: str, labels: Tensor, of: str, rows: Tensor) -> None:
    """Refuse labels unless there is one for each row."""
    if labels.shape != rows.shape[:1]:
        raise ConfigError(
            f"{field} has shape {tuple(labels.shape)}, but must have one label for each row of "
            f"{of}, which has shape {tuple(rows.shape)}."
        )
