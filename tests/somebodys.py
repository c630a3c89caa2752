"""Code as a third party would write it, named in tests by `tests.somebodys:Name`."""

from __future__ import annotations

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn


class Cosine:
    """The own key only: neither labels nor the queue."""

    uses_labels = uses_queue = False

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def __call__(self, query, key, queue, labels, queue_labels):
        return ((1 - (query * key).sum(dim=1)) / self.temperature).mean()


class Contrast:
    """InfoNCE as anybody would write it: the queue is needed for the backward pass."""

    class Options(BaseModel):
        shift: float = Field(0.0, ge=0)

    def __init__(self, temperature: float, options: Options) -> None:
        self.temperature, self.shift = temperature, options.shift

    def __call__(self, query, key, queue, labels, queue_labels):
        logits = torch.cat([(query * key).sum(dim=1, keepdim=True), query @ queue.T], dim=1)
        target = torch.zeros(len(query), dtype=torch.int64, device=query.device)
        return nn.functional.cross_entropy(logits / self.temperature, target) + self.shift


class Probe:
    """A classifier needs labels."""

    needs_labels = True

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def __call__(self, query, key, queue, labels, queue_labels):
        return (labels.clamp_min(0) * query.square().sum(dim=1)).mean() / self.temperature


class Spread:
    """Over the whole batch: no query near another's key."""

    uses_labels = False

    class Options(BaseModel):
        margin: float = Field(-0.5, ge=-1, le=1)

    def __init__(self, options: Options) -> None:
        self.margin = options.margin

    def __call__(self, query, key, queue, labels, queue_labels):
        near = query @ key.T - 2 * torch.eye(len(query), dtype=query.dtype, device=query.device)
        return torch.relu(near - self.margin).square().mean()


class Anchor:
    """A mean over single images, without options."""

    whole_batch = uses_labels = False

    def __call__(self, query, key, queue, labels, queue_labels):
        return (query - key).square().sum(dim=1).mean()


class NetOptions(BaseModel):
    width: int = Field(4, ge=1)


def flat_net(*, channels: int, image_size: int, options: NetOptions) -> nn.Module:
    """A function with options."""
    if image_size > 64:
        raise ValueError("no more than 64 px")
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, options.width))


class Net(nn.Module):
    """A class that says its features itself."""

    def __init__(self, *, channels: int, image_size: int) -> None:
        super().__init__()
        self.feature_dim = 6
        self.conv = nn.Conv2d(channels, 6, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).mean(dim=(2, 3))


class NoLoss:
    """It cannot be called with what a loss gets."""

    def __init__(self, temperature: float) -> None: ...

    def __call__(self, query, key):
        return query.sum()


class NoTemperature:
    """Its constructor takes no temperature."""

    def __call__(self, query, key, queue, labels, queue_labels):
        return query.sum()


def no_class(query, key, queue, labels, queue_labels):
    """A loss is a class."""
    return query.sum()
