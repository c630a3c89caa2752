"""The same MoCo as a user writes it with lightly and a DataLoader: the peer of the step's bench."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms.multi_view_transform import MultiViewTransform
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from raymoco.config import RunConfig
from raymoco.ssl.resnet8 import build_resnet8


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Two views of each image, augmented one by one."""

    def __init__(self, images: NDArray[Any], size: int, mean: float, std: float) -> None:
        view = transforms.Compose(
            [
                transforms.RandomResizedCrop(size, scale=(0.3, 1.0)),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(brightness=0.4, contrast=0.4),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )
        self._views = MultiViewTransform([view, view])
        self._images = [Image.fromarray(image) for image in images]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        first, second = self._views(self._images[index])
        return first, second


def build_epoch(
    config: RunConfig, images: NDArray[Any], mean: float, std: float, workers: int
) -> Callable[[], int]:
    """A training epoch over gray images (N, S, S) uint8; it returns how many images it saw."""
    backbone, features = build_resnet8(config.model.width, 1)
    head = MoCoProjectionHead(features, config.model.projector.hidden, config.model.projector.dim)
    key_backbone, key_head = copy.deepcopy(backbone), copy.deepcopy(head)
    for module in (key_backbone, key_head):
        deactivate_requires_grad(module)
    criterion = NTXentLoss(
        temperature=config.method.temperature,
        memory_bank_size=(config.method.queue_size, config.model.projector.dim),
    )
    parameters = [*backbone.parameters(), *head.parameters()]
    optim = config.optim
    optimizer = torch.optim.SGD(
        parameters, optim.lr, momentum=optim.momentum, weight_decay=optim.weight_decay
    )
    loader = DataLoader(
        Pairs(images, images.shape[1], mean, std),
        batch_size=optim.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    nn.Sequential(backbone, head).train()

    def epoch() -> int:
        seen = 0
        for view_a, view_b in loader:
            update_momentum(backbone, key_backbone, config.method.key_momentum)
            update_momentum(head, key_head, config.method.key_momentum)
            query = head(backbone(view_a).flatten(1))
            with torch.no_grad():
                key = key_head(key_backbone(view_b).flatten(1))
            loss = criterion(query, key)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(view_a)
        return seen

    return epoch
