"""A softmax over blocks of keys: its logsumexp and its mean, without storing its weights.

Sums are relative to the largest logit so far and are rescaled when a larger one comes, so that
T = 0.005 is as exact as T = 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from raymoco.ssl.query_gradient import widen


class OnlineSoftmax:
    """Accumulates for each row the logsumexp of its logits and the mean of the keys under softmax.

    Args:
        like: (B, D); a tensor with the rows, dimension, device and dtype to use.
    """

    def __init__(self, like: Tensor) -> None:
        # not -inf: an empty row would subtract it from itself
        self._lowest = torch.finfo(like.dtype).min / 4
        self._highest_B1 = like.new_full((len(like), 1), self._lowest)
        self._total_B1 = like.new_zeros(len(like), 1)
        self._weighted_BD = torch.zeros_like(like)

    def add(self, logits_Bb: Tensor, keys_bD: Tensor) -> tuple[Tensor, Tensor]:
        """Add a block of keys; a logit of -inf leaves its key out.

        Returns:
            The logits, overwritten by their weights, and the factors (B, 1) of earlier weights.
        """
        shrink_B1 = self._raise_to(logits_Bb.amax(dim=1, keepdim=True))
        weights_Bb = logits_Bb.sub_(self._highest_B1).exp_()
        self._total_B1 += weights_Bb.sum(dim=1, keepdim=True)
        if keys_bD.dtype == weights_Bb.dtype:
            self._weighted_BD.addmm_(weights_Bb, keys_bD)
        else:
            self._weighted_BD += product(weights_Bb.to(keys_bD.dtype), keys_bD)
        return weights_Bb, shrink_B1

    def add_pairs(self, logits_P: Tensor, pairs: Pairs, keys_bD: Tensor) -> None:
        """Add single logits, one for each of the pairs."""
        candidate_B = self._highest_B1.flatten().scatter_reduce(0, pairs.rows, logits_P, "amax")
        self._raise_to(candidate_B[:, None])
        weights_P = (logits_P - self._highest_B1.flatten()[pairs.rows]).exp_()
        self._total_B1.view(-1).index_add_(0, pairs.rows, weights_P)
        self._weighted_BD += pairs.sum_keys(keys_bD, weights_P)

    def add_own(self, logits_B: Tensor, keys_BD: Tensor) -> None:
        """Add one logit and key for each row."""
        self._raise_to(logits_B[:, None])
        weights_B1 = (logits_B[:, None] - self._highest_B1).exp_()
        self._total_B1 += weights_B1
        self._weighted_BD += weights_B1 * keys_BD

    def logsumexp(self) -> Tensor:
        """Return (B,) in float64; for an empty row a number whose exp is 0.

        In fp32 logits near 200 would round away a loss near 0.
        """
        total_B1 = self._total_B1.double()
        logs_B1 = self._highest_B1.double() + torch.where(total_B1 > 0, total_B1, 1).log()
        return torch.where(total_B1 > 0, logs_B1, self._lowest).flatten()

    def mean(self) -> Tensor:
        """Return (B, D); 0 for an empty row."""
        return self._weighted_BD / torch.where(self._total_B1 > 0, self._total_B1, 1)

    def expectation(self, weighted_B1: Tensor) -> Tensor:
        """Return (B,) in float64 for a sum that the caller weighted as `add` did; 0 if empty."""
        total_B1 = torch.where(self._total_B1 > 0, self._total_B1, 1)
        return (weighted_B1.double() / total_B1.double()).flatten()

    def _raise_to(self, candidate_B1: Tensor) -> Tensor:
        highest_B1 = torch.maximum(self._highest_B1, candidate_B1)
        shrink_B1 = (self._highest_B1 - highest_B1).exp_()
        self._weighted_BD *= shrink_B1
        self._total_B1 *= shrink_B1
        self._highest_B1 = highest_B1
        return shrink_B1


class Pairs:
    """The positive pairs of a block, of a query and a key each, sorted by row.

    Args:
        same_Bm: whether query and key share a visible label, for some columns of the block.
        columns_m: the indices of these columns.
    """

    def __init__(self, same_Bm: Tensor, columns_m: Tensor) -> None:
        self.rows, matched = same_Bm.nonzero(as_tuple=True)
        self.keys = columns_m[matched]
        self._batch = len(same_Bm)

    def sum_keys(self, keys_bD: Tensor, weights_P: Tensor | None = None) -> Tensor:
        """Return (B, D): for each row the (weighted) sum of its pairs' keys."""
        starts_B = torch.searchsorted(self.rows, torch.arange(self._batch, device=self.rows.device))
        return F.embedding_bag(
            self.keys, widen(keys_bD), starts_B, mode="sum", per_sample_weights=weights_P
        )


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return the matrix product; for two bf16 matrices in fp32."""
    if left.dtype != torch.bfloat16:
        return left @ right
    if left.is_cuda:
        return torch.mm(left, right, out_dtype=torch.float32)
    return (left @ right).float()  # the only way on CPUs so far: accumulated in fp32, rounded once
