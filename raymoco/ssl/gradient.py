"""How a loss hands its gradient to the query: at once, in full precision.

Only the query of a contrastive loss has a gradient, so it can be taken while the loss is computed.
That frees the (B, K) logits before the encoder's own backward pass, and it lets the queue be
overwritten in place before that pass: otherwise every step would have to clone the queue.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.function import once_differentiable


def widen(tensor: Tensor) -> Tensor:
    """The tensor in fp32, or as it is where it is float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def loss_of_query(formula: Callable[[Tensor], Tensor], query: Tensor) -> Tensor:
    """The value of `formula(query)`, with its gradient to the query already taken.

    Args:
        formula: from the widened query to a scalar; whatever else it uses gets no gradient.
        query: (B, D), any floating dtype; half precision is widened first, so that a gradient
            scaled by a GradScaler is scaled before it is rounded.
    Returns:
        Scalar in fp32 (float64 for float64). It can be differentiated once.
    """
    query = widen(query)
    with _no_autocast(query.device.type):
        # a FakeTensor has no data, only a device, which autograd would look for on this machine
        traced = isinstance(query, FakeTensor)
        if traced or not (torch.is_grad_enabled() and query.requires_grad):
            return formula(query)
        leaf = query.detach().requires_grad_()
        loss = formula(leaf)
        (gradient,) = torch.autograd.grad(loss, leaf)
    return cast(Tensor, _KnownGradient.apply(query, loss.detach(), gradient))


def _no_autocast(device_type: str) -> AbstractContextManager[Any]:
    # autocast would put the matrix products back into half precision: at T = 0.005 a bf16 logit is
    # off by half a nat
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


class _KnownGradient(torch.autograd.Function):
    """A scalar whose gradient to the query is known already."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return grad_loss * gradient, None, None
