"""The supervised baseline: cross-entropy on the visible labels, with the same encoder and steps."""

from __future__ import annotations

from typing import Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from raymoco.errors import ConfigError
from raymoco.ssl.batch_norm import convert_batch_norm
from raymoco.ssl.collectives import world_size
from raymoco.ssl.encoders import Encoder


class Supervised(nn.Module):
    """A linear classifier on the backbone features, trained with the backbone.

    The projector is not used: it is frozen, so that DistributedDataParallel does not wait for its
    gradient. Only the first view is used. There are no keys to permute, so "shuffle" equals
    "plain".

    Args:
        encoder: computes the features; trained by gradients.
        classes: number of classes, >= 1.
        batch_norm: "plain", "shuffle", "split" or "sync", as for MoCo.
        bn_groups: groups of each worker's batch for "split".
    Raises:
        ConfigError: classes < 1, an unknown batch norm, or bn_groups < 1.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        classes: int,
        batch_norm: Literal["plain", "shuffle", "split", "sync"] = "plain",
        bn_groups: int = 8,
    ) -> None:
        super().__init__()
        if classes < 1:
            raise ConfigError(f"classes is {classes}, but must be at least 1.")
        self.encoder = encoder
        convert_batch_norm(encoder, batch_norm, bn_groups)
        encoder.projector.requires_grad_(False)
        self.classifier = nn.Linear(encoder.feature_dim, classes)

    def forward(self, view_a: Tensor, view_b: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the mean cross-entropy over the labeled images of all workers.

        Args:
            view_a: one view of this worker's images, (B, C, H, W).
            view_b: not used; it is there so that all methods have the same arguments.
            labels: (B,), integer; images with a negative label are left out of the loss.
        Returns:
            Scalars: "loss", with gradient, and the same as "contrast", detached; nats. The mean
            over the workers is the mean over their labeled images; 0 where there are none.
        """
        logits_BC = self.classifier(self.encoder.features(view_a))
        targets = labels.long().clamp_min(-1)
        total = F.cross_entropy(logits_BC, targets, ignore_index=-1, reduction="sum")
        # one count for all workers, so that every label has the same weight on every worker
        count = (targets >= 0).sum()
        if world_size() > 1:
            dist.all_reduce(count)
        loss = total * world_size() / count.clamp_min(1)
        return {"loss": loss, "contrast": torch.detach(loss)}
