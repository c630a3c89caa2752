"""Checks that losses and terms share: both compute a scalar of queries, keys, queue, labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses import FakeTensorMode

from raymoco.errors import ConfigError
from raymoco.ssl.objective import compute
from raymoco.ssl.protocols import Loss, Term

B, K, D = 12, 40, 16


@dataclass(frozen=True)
class Rows:
    """The arguments of a loss or a term, in order."""

    query: Tensor
    key: Tensor
    queue: Tensor
    labels: Tensor
    queue_labels: Tensor

    def to(self, dtype: torch.dtype) -> Rows:
        """Return the same with queries, keys and queue of another dtype."""
        return replace(
            self, query=self.query.to(dtype), key=self.key.to(dtype), queue=self.queue.to(dtype)
        )

    def take(self, rows: Tensor) -> Rows:
        """Return some of the images, with the same queue."""
        return replace(self, query=self.query[rows], key=self.key[rows], labels=self.labels[rows])


def some_rows(images: int = B, keys: int = K) -> Rows:
    """Return unit vectors with keys near their queries, three classes, a third of them hidden."""
    draw = torch.Generator().manual_seed(0)

    def vectors(count: int) -> Tensor:
        return F.normalize(torch.randn(count, D, generator=draw, dtype=torch.float64), dim=1)

    def labels(count: int) -> Tensor:
        return torch.arange(count) % 4 - 1

    query = vectors(images)
    key = F.normalize(query + 0.5 * vectors(images), dim=1)
    return Rows(query, key, vectors(keys), labels(images), labels(keys)).to(torch.float32)


def cases() -> dict[str, Rows]:
    """Return the cases that occur in trainings, by name."""
    usual = some_rows()
    hidden, one = torch.full_like(usual.labels, -1), torch.zeros_like(usual.labels)
    queue_hidden = torch.full_like(usual.queue_labels, -1)
    return {
        "some labels": usual,
        "no label at all": replace(usual, labels=hidden, queue_labels=queue_hidden),
        "one label for all": replace(
            usual, labels=one, queue_labels=torch.zeros_like(usual.queue_labels)
        ),
        "an empty queue": some_rows(keys=0),
        "a single image": some_rows(images=1),
        "keys that equal their queries": replace(usual, key=usual.query.clone()),
    }


def check_rows(called: str, build: Callable[[], Loss | Term]) -> None:
    """Run the checks that losses and terms share.

    Args:
        called: its name in messages.
        build: builds a new one, as for a run.
    """
    what = build()
    for case, rows in cases().items():
        _check_case(f"{called}, with {case}", what, rows)
    usual = some_rows()
    value = compute(what, *arguments(usual))
    again = compute(build(), *arguments(usual))
    assert torch.equal(value, again), (
        f"{called} gives {value} and then {again} for the same rows: it must be deterministic and "
        "keep no state."
    )
    _check_precision(called, what, usual)
    _check_promises(called, what, usual)


def arguments(rows: Rows) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the rows in the argument order of a loss or a term."""
    query, key, queue, labels, queue_labels = (getattr(rows, name) for name in vars(rows))
    return query, key, queue, labels, queue_labels


def _check_case(called: str, what: Loss | Term, rows: Rows) -> None:
    given = Rows(
        rows.query.clone().requires_grad_(),
        rows.key.clone().requires_grad_(),
        rows.queue.clone().requires_grad_(),
        rows.labels.clone(),
        rows.queue_labels.clone(),
    )
    try:
        value = compute(what, *arguments(given))
    except ConfigError as error:
        raise AssertionError(f"{called}: {error}") from error
    except Exception as error:
        raise AssertionError(f"{called}: it raises {type(error).__name__}: {error}") from error
    assert isinstance(value, Tensor), f"{called}: it gives {value!r}, but must give a tensor."
    assert value.dim() == 0, (
        f"{called}: it has shape {tuple(value.shape)}, but must be a scalar, the mean over images."
    )
    assert value.dtype == torch.float32, f"{called}: it is {value.dtype}, but must be float32."
    number = float(value.detach())
    assert math.isfinite(number), f"{called}: it is {number}, but must be finite."
    with torch.no_grad():
        for name, tensor in vars(given).items():
            assert torch.equal(tensor, getattr(rows, name)), f"{called}: it changes the {name}."
        given.queue.zero_()  # MoCo overwrites the queue before the backward pass
    if value.requires_grad:
        value.backward()  # type: ignore[no-untyped-call]
    gradient = given.query.grad
    assert gradient is not None, f"{called}: no gradient comes to the queries."
    assert bool(gradient.isfinite().all()), f"{called}: its gradient must be finite, but is not."
    assert given.key.grad is None, f"{called}: a gradient comes to the keys, which must get none."
    assert given.queue.grad is None, (
        f"{called}: a gradient comes to the queue, which must get none."
    )
    if called.endswith("some labels"):
        assert bool(gradient.any()), f"{called}: its gradient is zero, so it teaches nothing."


def _check_precision(called: str, what: Loss | Term, rows: Rows) -> None:
    single = compute(what, *arguments(rows))
    double = compute(what, *arguments(rows.to(torch.float64)))
    assert double.dtype == torch.float64, (
        f"{called}: of float64 rows it is {double.dtype}, but must be float64."
    )
    assert torch.allclose(single.double(), double, rtol=1e-4, atol=1e-5), (
        f"{called}: it is {float(single):g} in float32, but {float(double):g} in float64."
    )
    half = compute(what, *arguments(replace(rows, query=rows.query.bfloat16())))
    assert half.dtype == torch.float32, (
        f"{called}: of bfloat16 queries, as bf16 training has them, it is {half.dtype}, but must "
        "be float32."
    )


def _check_promises(called: str, what: Loss | Term, rows: Rows) -> None:
    value = compute(what, *arguments(rows))
    if not getattr(what, "uses_labels", True):
        hidden = replace(rows, labels=rows.labels * 0 - 1, queue_labels=rows.queue_labels * 0 - 1)
        assert torch.equal(compute(what, *arguments(hidden)), value), (
            f"{called}: uses_labels is False, but without labels it has another value."
        )
    if not getattr(what, "uses_queue", True):
        other = replace(rows, queue=-rows.queue)
        assert torch.equal(compute(what, *arguments(other)), value), (
            f"{called}: uses_queue is False, but with another queue it has another value."
        )
    if getattr(what, "no_host_read", False):
        _check_host(called, what)


def _check_host(called: str, what: Loss | Term) -> None:
    """Check on tensors without values that none is read."""
    with FakeTensorMode(), torch.device("cuda"):
        rows = [torch.empty(n, D) for n in (B, B, K)]
        labels = [torch.empty(n, dtype=torch.int64) for n in (B, K)]
        try:
            value = what(rows[0], rows[1], rows[2], labels[0], labels[1])
        except Exception as error:
            raise AssertionError(
                f"{called}: no_host_read is True, but it looks at a value or leaves the GPU: "
                f"{type(error).__name__}: {error}"
            ) from error
        assert value.device.type == "cuda", (
            f"{called}: of rows on a GPU it is on {value.device.type}, but must stay there."
        )
