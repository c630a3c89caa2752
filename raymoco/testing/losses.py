"""Conformance of a loss."""

from __future__ import annotations

from typing import Any

from raymoco.choices import LOSSES
from raymoco.config import MethodConfig
from raymoco.ssl.objective import build_loss
from raymoco.testing.named import called, must, named
from raymoco.testing.rows import check_rows


def check_loss(loss: Any, *, temperature: float = 0.2, **options: Any) -> None:
    """Check that MoCo can train with a loss.

    The suite imports and builds it as for a run, and calls it with every case of a training: hidden
    labels, an empty queue, a single image. Its value must be a finite scalar, the same each time
    and in float64, with a gradient to the queries only; its class attributes must be true.

    Args:
        loss: a name, `package.module:Name`, or the class.
        temperature: of the softmax.
        options: the options beside the name in `method.loss`.
    Raises:
        AssertionError: says in a sentence what is wrong.
    """
    value = named(LOSSES, loss, options)
    section = MethodConfig().model_dump()
    check_rows(
        called(value), lambda: must(lambda: build_loss(value, temperature, section, "method.loss"))
    )
