"""Compute the gradient of a loss to the query in the forward pass, in full precision.

Only the query of a contrastive loss has a gradient, so it can be computed together with the loss.
That frees the (B, K) logits before the encoder's backward pass, and allows overwriting the queue in
place before that pass: otherwise every step would have to clone the queue.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.function import once_differentiable

# least T at which products in bf16 keep the gradient's direction: cosine >= 0.999 to float64
HALF_FROM = 0.05


def bf16_is_fast(device: torch.device) -> bool:
    """Whether the device multiplies faster in bf16 than in fp32; decides `precision: auto`."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def widen(tensor: Tensor) -> Tensor:
    """Convert a tensor to fp32; float64 is kept."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def loss_of_query(formula: Callable[[Tensor], Tensor], query: Tensor) -> Tensor:
    """Return `formula(query)`, with its gradient to the query computed already.

    Args:
        formula: from the widened query to a scalar; other tensors in it get no gradient.
        query: (B, D), any floating dtype; half precision is widened first, so that a gradient
            scaled by a GradScaler is scaled before it is rounded.
    Returns:
        Scalar in fp32 (float64 for float64). It can be differentiated once.
    """
    query = widen(query)
    with _no_autocast(query.device.type):
        # a FakeTensor has no data, only a device, and autograd would look for it on this machine
        if isinstance(query, FakeTensor) or not _wants_gradient(query):
            return formula(query)
        leaf = query.detach().requires_grad_()
        loss = formula(leaf)
        (gradient,) = torch.autograd.grad(loss, leaf)
    return cast(Tensor, _KnownGradient.apply(query, loss.detach(), gradient))


def loss_with_gradient(
    stream: Callable[[Tensor, bool], tuple[Tensor, Tensor]],
    query: Tensor,
    temperature: float = 1.0,
) -> Tensor:
    """Do the same for a loss that computes its gradient itself.

    Args:
        stream: takes the widened query, and whether products may be in bf16; returns the scalar and
            its gradient (B, D).
        query: (B, D), any floating dtype.
        temperature: that of the loss; at a low one bf16 is not used, under autocast too.
    Returns:
        As `loss_of_query`.
    """
    query = widen(query)
    kind = query.device.type
    half = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16
    half = half and temperature >= HALF_FROM and query.dtype == torch.float32
    half = half and bf16_is_fast(query.device)
    with _no_autocast(kind):
        loss, gradient = stream(query.detach(), half)
    if not _wants_gradient(query):
        return loss
    return cast(Tensor, _KnownGradient.apply(query, loss, gradient))


def _wants_gradient(query: Tensor) -> bool:
    return torch.is_grad_enabled() and query.requires_grad


def _no_autocast(device_type: str) -> AbstractContextManager[Any]:
    # autocast would compute the matrix products in half precision: at T = 0.005 a bf16 logit has an
    # error of half a nat
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


class _KnownGradient(torch.autograd.Function):
    """A scalar whose gradient to the query is computed already."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return grad_loss * gradient, None, None
