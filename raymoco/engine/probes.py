"""Extract features and evaluate them: nearest neighbors, a linear probe, signs of collapse.

engine/protocols/ decides which of these a run uses, and when. All of them use the backbone's
features (before the projector) of the query encoder in eval mode, without augmentation, as the
field does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raymoco.engine.step import to_device

BLOCK, BANK_BLOCK = 2048, 65536  # queries and rows of the bank per product
PROBE_RATES = (0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class Features:
    """The features (N, F) float32 and labels (N,) int64 of one split; -1 = no label."""

    features_NF: Tensor
    labels_N: Tensor

    def labeled(self) -> Features:
        """Return only the rows that have a label."""
        has = self.labels_N >= 0
        return Features(self.features_NF[has], self.labels_N[has])

    def without_rows(self) -> Features:
        """Return empty features, for a split that no protocol needs."""
        return Features(self.features_NF[:0], self.labels_N[:0])


@torch.no_grad()
def extract_features(
    encoder: Any, batches: Iterable[Any], prepare: Callable[[Tensor], Tensor], device: torch.device
) -> Features:
    """Extract the backbone features of every image of a split, in order, in eval mode."""
    was_training = encoder.training
    encoder.eval()
    features, labels = [], []
    for batch in batches:
        images = prepare(to_device(batch.images, device))
        images = images.contiguous(memory_format=torch.channels_last)
        features.append(encoder.features(images).float())
        labels.append(batch.labels.to(device))
    encoder.train(was_training)
    return Features(torch.cat(features), torch.cat(labels))


def knn_top1(bank: Features, queries: Features, *, k: int, temperature: float) -> float:
    """Return the share of queries that `knn_classes` classifies correctly; other args likewise."""
    return share_right(knn_classes(bank, queries, k=k, temperature=temperature), queries.labels_N)


def share_right(predicted_M: Tensor, labels_M: Tensor) -> float:
    """Return the share of predictions that equal the label, a count divided by a count."""
    return int((predicted_M == labels_M).sum()) / len(labels_M)


@torch.no_grad()
def knn_classes(bank: Features, queries: Features, *, k: int, temperature: float) -> Tensor:
    """Return the class of each query by the weighted vote of the k nearest features of the bank.

    Args:
        bank: rows whose labels vote; all labels >= 0.
        queries: rows to classify.
        k: neighbors; no more than the bank has.
        temperature: a neighbor at cosine s votes with exp(s / temperature).
    Returns:
        Classes (M,) int64.
    Source: Wu et al. 2018, arXiv:1805.01978, section 3.4.
    """
    classes = int(max(bank.labels_N.max(), queries.labels_N.max())) + 1
    bank_NF = F.normalize(bank.features_NF, dim=1)
    k = min(k, len(bank_NF))
    predicted = []
    for start in range(0, len(queries.features_NF), BLOCK):
        query_BF = F.normalize(queries.features_NF[start : start + BLOCK], dim=1)
        cosine_Bk, index_Bk = _nearest(query_BF, bank_NF, k)
        # shifted by 1, the largest cosine: the vote is the same and exp cannot overflow
        weight_Bk = ((cosine_Bk - 1) / temperature).exp()
        votes_BC = weight_Bk.new_zeros(len(query_BF), classes)
        votes_BC.scatter_add_(1, bank.labels_N[index_Bk], weight_Bk)
        predicted.append(votes_BC.argmax(1))
    return torch.cat(predicted)


def _nearest(query_BF: Tensor, bank_NF: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return cosines and rows (B, k) of the k nearest in the bank, best first, block by block."""
    best: tuple[Tensor, Tensor] | None = None
    for start in range(0, len(bank_NF), BANK_BLOCK):
        block_MF = bank_NF[start : start + BANK_BLOCK]
        cosine, index = (query_BF @ block_MF.T).topk(min(k, len(block_MF)), dim=1)
        index += start
        if best is not None:
            cosine = torch.cat([best[0], cosine], dim=1)
            index = torch.cat([best[1], index], dim=1)
            cosine, places = cosine.topk(min(k, cosine.shape[1]), dim=1)
            index = index.gather(1, places)
        best = cosine, index
    assert best is not None
    return best


def linear_probe(
    train: Features, choose: Features, test: Features, *, epochs: int, seed: int
) -> dict[str, float]:
    """Return top-1 and top-5 accuracy of `linear_classes`; it takes the same arguments.

    Returns:
        `top1` and `top5`, fractions 0-1; top5 is 1 when there are at most five classes.
    """
    return top_shares(linear_classes(train, choose, test, epochs=epochs, seed=seed), test.labels_N)


def top_shares(ranked_M5: Tensor, labels_M: Tensor) -> dict[str, float]:
    """Return the shares of images whose label is ranked first, and is among the ranked classes."""
    among = (ranked_M5 == labels_M[:, None]).any(1)
    return {
        "top1": share_right(ranked_M5[:, 0], labels_M),
        "top5": float(among.float().mean()),
    }


@torch.no_grad()
def linear_classes(
    train: Features, choose: Features, test: Features, *, epochs: int, seed: int
) -> Tensor:
    """Return the most likely classes of each test image by a linear classifier.

    One head per learning rate trains in parallel on the same batches; the head that is best on
    `choose` (the eval split) is measured on `test`, so that the test set chooses nothing. Features
    are standardized with the training statistics, as a batch norm without scale in front of the
    head would do.

    Returns:
        The five most likely classes (M, 5), the first is the most likely; all, if there are fewer.
    """
    mean_F, std_F = train.features_NF.mean(0), train.features_NF.std(0).clamp_min(1e-6)

    def standardized(part: Features) -> Tensor:
        x_NF = (part.features_NF - mean_F) / std_F
        return torch.cat([x_NF, x_NF.new_ones(len(x_NF), 1)], dim=1)  # the bias is a weight too

    x_NF, y_N = standardized(train), train.labels_N
    classes = int(max(part.labels_N.max() for part in (train, choose, test))) + 1
    heads = len(PROBE_RATES)
    rates_L1 = torch.tensor(PROBE_RATES, device=x_NF.device)[:, None]
    weight_FLC = x_NF.new_zeros(x_NF.shape[1], heads, classes)
    velocity_FLC = torch.zeros_like(weight_FLC)
    generator = torch.Generator().manual_seed(seed)
    batch = min(256, len(x_NF))
    steps = max(1, len(x_NF) // batch)
    for epoch in range(epochs):
        order_N = torch.randperm(len(x_NF), generator=generator).to(x_NF.device)
        for step in range(steps):
            rows = order_N[step * batch : (step + 1) * batch]
            gradient_FLC = _gradient_of_heads(x_NF[rows], y_N[rows], weight_FLC)
            scale = 0.5 * (1 + math.cos(math.pi * (epoch + step / steps) / epochs))
            velocity_FLC.mul_(0.9).add_(gradient_FLC)
            weight_FLC.addcmul_(velocity_FLC, rates_L1, value=-scale)

    chosen_NLC = torch.einsum("nf,flc->nlc", standardized(choose), weight_FLC)
    best = (chosen_NLC.argmax(-1) == choose.labels_N[:, None]).float().mean(0).argmax()
    logits_NC = standardized(test) @ weight_FLC[:, best]
    return logits_NC.topk(min(5, classes), dim=1).indices


def _gradient_of_heads(x_BF: Tensor, y_B: Tensor, weight_FLC: Tensor) -> Tensor:
    """Return the gradient of each head's mean cross-entropy by one product, in half the time."""
    _, heads, classes = weight_FLC.shape
    excess_BLC = (x_BF @ weight_FLC.flatten(1)).view(-1, heads, classes).softmax(dim=2)
    excess_BLC.scatter_add_(
        2, y_B[:, None, None].expand(-1, heads, 1), x_BF.new_full((len(y_B), heads, 1), -1.0)
    )
    return (x_BF.T @ excess_BLC.flatten(1) / len(y_B)).view_as(weight_FLC)


@torch.no_grad()
def alignment(view_a_NF: Tensor, view_b_NF: Tensor) -> float:
    """Return the mean squared distance between the normalized features of two views; 0 = invariant.

    Source: Wang & Isola 2020, arXiv:2005.10242, alpha = 2.
    """
    a_NF, b_NF = F.normalize(view_a_NF, dim=1), F.normalize(view_b_NF, dim=1)
    return float((a_NF - b_NF).square().sum(1).mean())


@torch.no_grad()
def uniformity(features_NF: Tensor) -> float:
    """Return the log of the mean Gaussian potential of all pairs of features; lower = more spread.

    Source: Wang & Isola 2020, arXiv:2005.10242, t = 2. All pairs of the first 4096 rows.
    """
    features_NF = F.normalize(features_NF[:4096], dim=1)
    return float((-2 * torch.pdist(features_NF).square()).exp().mean().log())


@torch.no_grad()
def effective_rank(features_NF: Tensor) -> float:
    """Return exp of the entropy of the centered features' normalized singular values, 1 to F.

    Source: Roy & Vetterli 2007, "The effective rank". 1 means collapse onto a line.
    """
    singular_F = torch.linalg.svdvals((features_NF - features_NF.mean(0)).double())
    share_F = singular_F / singular_F.sum().clamp_min(1e-12)
    return float(torch.special.entr(share_F).sum().exp())


@torch.no_grad()
def view_features(encoder: nn.Module, views: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return backbone features (M, F) of two views of some images, encoder in eval mode."""
    was_training = encoder.training
    encoder.eval()
    a_NF, b_NF = (encoder.features(view).float() for view in views)  # type: ignore[operator]
    encoder.train(was_training)
    return a_NF, b_NF
