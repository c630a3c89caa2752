"""Communication between the workers of one run; with one worker it does nothing.

Every worker has the same number of images: the global batch is the rows of rank 0, then of rank 1,
and so on.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def world_size() -> int:
    """The number of workers; 1 where torch.distributed is not in use."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This worker's number, from 0; 0 where torch.distributed is not in use."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


@torch.no_grad()
def all_gather(rows: Tensor) -> Tensor:
    """Gather the rows of all workers in rank order, (W * B, ...), without gradient.

    Args:
        rows: (B, ...), the same shape on every worker.
    """
    if world_size() == 1:
        return rows.detach()
    rows = rows.detach().contiguous()
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(parts, rows)
    return torch.cat(parts)


def all_gather_with_grad(rows: Tensor) -> Tensor:
    """Gather the rows of all workers in rank order, (W * B, ...), with gradient to all rows.

    The backward pass sums the gradients of all workers' losses to these rows. Where all workers
    compute the same loss of the global batch, the mean of DistributedDataParallel over the workers
    is then the gradient of that loss.

    Args:
        rows: (B, ...), the same shape on every worker.
    """
    if world_size() == 1:
        return rows
    return cast(Tensor, _Gather.apply(rows))


def batch_order(count: int, seed: int, step: int) -> Tensor:
    """The permutation of the global batch at a step, (W * count,): the same on every worker.

    It has its own generator: the global random state is neither used nor changed.

    Args:
        count: images of each worker, B.
        seed: the run's seed.
        step: number of the permutation within the run.
    """
    digest = hashlib.sha256(f"{seed}/{step}".encode()).digest()
    generator = torch.Generator(device="cpu").manual_seed(int.from_bytes(digest[:4], "big"))
    return torch.randperm(world_size() * count, generator=generator, device="cpu")


def batch_shuffle(images: Tensor, order: Tensor | None) -> Tensor:
    """Return this worker's part of the permuted global batch; the identity for order None.

    Args:
        images: (B, ...), this worker's part of the global batch.
        order: (W * B,), from `batch_order`.
    """
    return images if order is None else _take_own(images, order)


def batch_unshuffle(keys: Tensor, order: Tensor | None) -> Tensor:
    """Undo `batch_shuffle` with the same order: return this worker's own rows in their order."""
    return keys if order is None else _take_own(keys, torch.argsort(order))


@torch.no_grad()
def _take_own(rows: Tensor, order: Tensor) -> Tensor:
    """Return this worker's rows of the global batch in that order.

    Each row is sent only to the worker that needs it: gathering all rows everywhere would send W
    times as much, which for images of 224 px is more than the gradients.
    """
    count, workers = rows.shape[0], world_size()
    channels_last = rows.dim() == 4 and rows.is_contiguous(memory_format=torch.channels_last)
    wanted_WB = order.view(workers, count)
    mine_WB = wanted_WB // count == rank()
    if workers > 1:
        sent = rows.detach()[
            (wanted_WB[mine_WB] - rank() * count).to(rows.device, non_blocking=True)
        ].contiguous()
        taken = torch.empty_like(sent)
        source_B = wanted_WB[rank()] // count
        sizes = torch.bincount(source_B, minlength=workers).tolist()  # on the host, as is the order
        dist.all_to_all_single(taken, sent, sizes, mine_WB.sum(dim=1).tolist())
        # received rows are sorted by their sender
        taken = taken[
            torch.argsort(torch.argsort(source_B, stable=True)).to(rows.device, non_blocking=True)
        ]
    else:
        taken = rows.detach()[order.to(rows.device, non_blocking=True)]
    return taken.contiguous(memory_format=torch.channels_last) if channels_last else taken


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = rows.shape[0]
        return all_gather(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rows: Tensor) -> Tensor:
        grad_rows = grad_rows.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad_rows)
        return grad_rows[rank() * ctx.count : (rank() + 1) * ctx.count]
