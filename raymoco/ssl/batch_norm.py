"""Batch norm over groups of a worker's batch, or over the batches of all workers."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from raymoco.errors import ConfigError
from raymoco.ssl.argument_checks import require_choice
from raymoco.ssl.collectives import all_gather_with_grad, world_size
from raymoco.ssl.query_gradient import widen

BATCH_NORMS = ("plain", "shuffle", "split", "sync")


class SplitBatchNorm(_BatchNorm):
    """Batch norm that normalizes consecutive groups of a batch separately, as several devices do.

    The mean over the groups updates the running statistics. A batch with fewer than 2 images per
    group, such as the last, incomplete one of an epoch, has fewer groups.

    Source: the CIFAR-10 notebook of He et al. 2020, arXiv:1911.05722. Deviation: groups are
        consecutive, not interleaved, and need not divide the batch.
    """

    groups: int = 1

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (B, C, ...); in eval mode with the running statistics."""
        groups = max(1, min(self.groups, input.shape[0] // 2))
        if not self.training or groups == 1:
            return super().forward(input)
        momentum = _count_batch(self)
        mean_GC, var_GC = (
            None if buffer is None else buffer.expand(groups, -1).clone()
            for buffer in (self.running_mean, self.running_var)
        )
        parts = [
            F.batch_norm(
                part,
                None if mean_GC is None else mean_GC[group],
                None if var_GC is None else var_GC[group],
                self.weight,
                self.bias,
                True,
                momentum,
                self.eps,
            )
            for group, part in enumerate(torch.tensor_split(input, groups))
        ]
        if self.running_mean is not None and self.running_var is not None:
            assert mean_GC is not None
            assert var_GC is not None
            self.running_mean.copy_(mean_GC.mean(dim=0))
            self.running_var.copy_(var_GC.mean(dim=0))
        return torch.cat(parts)

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dim(input)


class SyncBatchNorm(_BatchNorm):
    """Batch norm with the statistics of all workers' images, on any device.

    torch's own works only on GPUs, and waits for the device in every layer to look for empty
    batches, which do not occur here. With one worker this is plain batch norm.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (B, C, ...); in eval mode with the running statistics."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        momentum = _count_batch(self)
        wide = widen(input)
        mean_C, var_C, count = self._joint_statistics(wide)
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                unbiased_C = var_C * (count / (count - 1))
                self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), momentum)
                self.running_var.lerp_(unbiased_C.to(self.running_var.dtype), momentum)
        return _normalize(wide, mean_C, var_C, self).to(input.dtype)

    def _joint_statistics(self, input: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (C,), biased variance (C,) and count () of one channel over all workers."""
        dims = [0, *range(2, input.dim())]
        var_C, mean_C = torch.var_mean(input, dim=dims, correction=0)
        count = torch.full_like(mean_C[:1], input.numel() // input.shape[1])
        # one exchange; variance within and between workers, not E[x^2] - E[x]^2, which cancels
        all_WS = all_gather_with_grad(torch.cat([mean_C, var_C, count])[None])
        mean_WC, var_WC, count_W1 = torch.split(all_WS, [len(mean_C), len(mean_C), 1], dim=1)
        total = count_W1.sum().detach()
        share_W1 = count_W1.detach() / total
        joint_C = (share_W1 * mean_WC).sum(dim=0)
        spread_C = (share_W1 * (var_WC + (mean_WC - joint_C).square())).sum(dim=0)
        return joint_C, spread_C, total

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dim(input)


def convert_batch_norm(
    module: nn.Module, name: Literal["plain", "shuffle", "split", "sync"], groups: int = 8
) -> nn.Module:
    """Replace every batch norm of a module in place; parameters and buffers are kept.

    Args:
        module: any module.
        name: "split" or "sync"; "plain" and "shuffle" do not change the module.
        groups: groups of a worker's batch for "split", at least 1.
    Raises:
        ConfigError: an unknown name, or groups below 1.
    """
    require_choice("batch_norm", name, BATCH_NORMS)
    if groups < 1:
        raise ConfigError(f"bn_groups is {groups}, but must be at least 1.")
    if name in ("plain", "shuffle"):
        return module
    if isinstance(module, _BatchNorm):
        return _converted(module, SplitBatchNorm if name == "split" else SyncBatchNorm, groups)
    for child_name, child in module.named_children():
        setattr(module, child_name, convert_batch_norm(child, name, groups))
    return module


def _converted(
    old: _BatchNorm, kind: type[SplitBatchNorm] | type[SyncBatchNorm], groups: int
) -> _BatchNorm:
    new = kind(old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats)
    if old.affine:
        new.weight, new.bias = old.weight, old.bias
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        setattr(new, name, getattr(old, name))
    new.train(old.training)
    if isinstance(new, SplitBatchNorm):
        new.groups = groups
    return new


def _normalize(input: Tensor, mean_C: Tensor, var_C: Tensor, norm: _BatchNorm) -> Tensor:
    shape = [1, -1] + [1] * (input.dim() - 2)
    scale_C = (var_C + norm.eps).rsqrt()
    output = (input - mean_C.view(shape)) * scale_C.view(shape)
    if norm.affine:
        output = output * norm.weight.view(shape) + norm.bias.view(shape)
    return output


def _count_batch(norm: _BatchNorm) -> float:
    """Count one more training batch; return its momentum for the running statistics."""
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    if norm.momentum is not None:
        return norm.momentum
    return 1.0 / float(norm.num_batches_tracked) if norm.num_batches_tracked is not None else 0.0


def _check_dim(input: Tensor) -> None:
    if input.dim() < 2:
        raise ConfigError(
            f"input of a batch norm has shape {tuple(input.shape)}, but must be (B, C, ...)."
        )
