"""Conformance of a regularizer."""

from __future__ import annotations

from typing import Any

import torch

from raymoco.choices import TERMS
from raymoco.ssl.objective import compute
from raymoco.testing.named import called, must, named
from raymoco.testing.rows import arguments, check_rows, some_rows


def check_term(term: Any, **options: Any) -> None:
    """Check that a regularizer works with any loss.

    It runs the checks of `check_loss`. A term with `whole_batch = False` must also be a mean over
    single images, so that several workers compute what one would.

    Args:
        term: a name, `package.module:Name`, or the class.
        options: the options beside `use` and `weight` in `method.terms.NAME`.
    Raises:
        AssertionError: says in a sentence what is wrong.
    """
    value = named(TERMS, term, options)

    def build() -> Any:
        return must(lambda: TERMS.make(value))

    check_rows(called(value), build)
    built, rows = build(), some_rows()
    if not getattr(built, "whole_batch", True):
        whole = compute(built, *arguments(rows))
        singles = [
            compute(built, *arguments(rows.take(torch.tensor([image]))))
            for image in range(len(rows.query))
        ]
        mean = torch.stack(singles).mean()
        assert torch.allclose(whole, mean, rtol=1e-4, atol=1e-6), (
            f"{called(value)}: whole_batch is False, but of the batch it is {float(whole):g} and "
            f"its mean over single images {float(mean):g}."
        )
