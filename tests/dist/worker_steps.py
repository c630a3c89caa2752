"""What a worker does in the tests; with one process the same functions see the whole batch."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from raymoco.config import MethodConfig, ModelConfig, ProjectorConfig
from raymoco.ssl import build_method
from raymoco.ssl.batch_norm import convert_batch_norm
from raymoco.ssl.collectives import (
    all_gather,
    batch_order,
    batch_shuffle,
    batch_unshuffle,
    rank,
    world_size,
)

B = 12  # images of all workers
LABELS = torch.tensor([0, 1, -1, 1, 0, 2, -1, 0, 2, 2, -1, 1])


def own(rows):
    count = len(rows) // world_size()
    return rows[rank() * count : (rank() + 1) * count]


def some_images(seed):
    generator = torch.Generator().manual_seed(seed)
    view = torch.randn(B, 1, 8, 8, generator=generator, dtype=torch.float64)
    return view, view + 0.3 * torch.randn(B, 1, 8, 8, generator=generator, dtype=torch.float64)


def build(options, split_in=None):
    model = ModelConfig(width=2, projector=ProjectorConfig(hidden=8, dim=6))
    method = MethodConfig(queue_size=40, key_momentum=0.9, **options)
    module = build_method(model, method, channels=1, image_size=8, classes=3, seed=1).double()
    if split_in is not None:
        for encoder in module.encoders.children():
            convert_batch_norm(encoder, "split", split_in)
    return module


def train(options, split_in=None, steps=3):
    """A few steps; the losses, gradients (as the optimizer sees them) and end state of each."""
    module = build(options, split_in)
    wrapped = module
    if dist.is_initialized():
        wrapped = DistributedDataParallel(module, broadcast_buffers=False)
    learning = {name: p for name, p in module.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(learning.values(), lr=0.1)
    losses, gradients = [], []
    for step in range(steps):
        view_a, view_b = some_images(step)
        output = wrapped(own(view_a), own(view_b), own(LABELS))
        optimizer.zero_grad()
        output["loss"].backward()
        losses.append({name: value.item() for name, value in output.items()})
        gradients.append({name: p.grad.clone() for name, p in learning.items()})
        optimizer.step()
    return losses, gradients, dict(module.state_dict())


def shuffle_and_back(seed, step):
    images = own(torch.arange(B * 4.0).reshape(B, 1, 2, 2))
    order = batch_order(len(images), seed, step)
    shuffled = batch_shuffle(images, order)
    return images, shuffled, batch_unshuffle(shuffled, order), all_gather(shuffled), order


def fail_in_the_second():
    if rank() == 1:
        raise ValueError("on purpose")
    return 0
