"""One optimizer step, and its optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import record_function

from raymoco.config import OptimConfig


def build_optimizer(
    optim: OptimConfig, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """Build the optimizer of the trainable parameters; with one kernel for all where torch can."""
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    # fused on CUDA, foreach elsewhere: the same results with fewer kernel launches
    fast: dict[str, Any] = {"fused": True} if learning[0].is_cuda else {"foreach": True}
    if optim.name == "adamw":
        return torch.optim.AdamW(learning, optim.lr, weight_decay=optim.weight_decay, **fast)
    return torch.optim.SGD(
        learning, optim.lr, momentum=optim.momentum, weight_decay=optim.weight_decay, **fast
    )


def to_device(rows: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to the device; a copy to a GPU is asynchronous."""
    if device.type == "cuda":
        # only a copy from pinned memory overlaps with the previous step
        rows = rows.pin_memory()
    return rows.to(device, non_blocking=True)


class Step:
    """Forward, backward and update of one batch.

    Args:
        module: from `build_method`; wrapped in DistributedDataParallel when workers > 1.
        optimizer: of the module's trainable parameters.
        bf16: run the forward pass under bf16 autocast.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        device: torch.device,
        bf16: bool,
        workers: int,
    ) -> None:
        self.module = module
        self.optimizer = optimizer
        self._device = device
        self._bf16 = bf16
        self._forward: nn.Module = module
        if workers > 1:
            # buffers are not broadcast: queues are equal by construction, and batch-norm
            # statistics are meant to differ
            self._forward = DistributedDataParallel(
                module,
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
            )

    def __call__(
        self, view_a: Tensor, view_b: Tensor, labels: Tensor, lr: float
    ) -> dict[str, Tensor]:
        """Step on (b, C, H, W) views and (b,) labels; return the detached losses, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with self._autocast():
            losses: dict[str, Tensor] = self._forward(view_a, view_b, labels)
        self.optimizer.zero_grad(set_to_none=True)
        with record_function("backward"):
            losses["loss"].backward()  # type: ignore[no-untyped-call]
        with record_function("optimizer"):
            self.optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _autocast(self) -> AbstractContextManager[Any]:
        if not self._bf16:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=torch.bfloat16)
