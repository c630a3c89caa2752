"""The losses over the queue in blocks, with their gradients, without storing a (B, K) tensor.

For each query a loss needs the logsumexp of its logits and the mean of the keys under their
softmax. `OnlineSoftmax` updates both block by block. Where few of a block's keys are positives,
they are picked out one by one; where many are, they get a matrix product of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from raymoco.ssl.online_softmax import OnlineSoftmax, Pairs, product

Kind = Literal["info_nce", "unicon_sum", "unicon_mean", "sup_con_in", "sup_con_out"]
LossAndGradient = tuple[Tensor, Tensor]  # a mean loss and its gradient to the queries

BLOCK = 1024  # keys: the logits of a usual batch and block stay in a core's cache
BLOCK_CUDA = 16384  # a GPU has enough memory, and each block costs kernel launches
PAYS_FROM = 2**18  # B x K; below, the readable formula is nearly as fast
PICKED_SHARE = 0.1  # of a block's pairs: with more positives a matrix product is faster


def pays(query: Tensor, queue: Tensor) -> bool:
    """Whether working in blocks is faster than the readable formula."""
    # a FakeTensor has no values, so its positives cannot be found
    return len(query) * len(queue) >= PAYS_FROM and not isinstance(query, FakeTensor)


class _Positives:
    """Sums over the positives of each query: its own key, and the queue keys with its label."""

    def __init__(self, kind: Kind, own_B: Tensor, key_BD: Tensor, labels: Tensor) -> None:
        self._kind = kind
        self._sign = 1.0 if kind == "sup_con_in" else -1.0
        self._labels_B1 = labels[:, None]
        self._visible_B1 = self._labels_B1 >= 0
        self.count_B = torch.ones_like(own_B)
        self.sum_BD = key_BD.clone()  # for sup_con_out, where all keys have the same weight
        self.softmax = OnlineSoftmax(key_BD)
        self.softmax.add_own(self._sign * own_B, key_BD)
        self._sorted = None if _must_not_ask(labels) else torch.unique(labels[labels >= 0])

    def take(self, logits_Bb: Tensor, keys_bD: Tensor, key_labels_b: Tensor) -> None:
        """Add a block's positives; set their logits to -inf, except for "sup_con_out"."""
        if self._sorted is None:
            columns = None
            same_Bm = (self._labels_B1 == key_labels_b) & self._visible_B1
        else:
            columns = _found_in(key_labels_b, self._sorted)
            if not len(columns):
                return
            same_Bm = (self._labels_B1 == key_labels_b[columns]) & self._visible_B1
            if int(same_Bm.count_nonzero()) <= PICKED_SHARE * logits_Bb.numel():
                self._pick(logits_Bb, keys_bD, Pairs(same_Bm, columns))
                return
            if len(columns) == len(key_labels_b):
                columns = None
        self._multiply(logits_Bb, keys_bD, same_Bm, columns)

    def _pick(self, logits_Bb: Tensor, keys_bD: Tensor, pairs: Pairs) -> None:
        self.count_B.index_add_(0, pairs.rows, torch.ones_like(pairs.rows, dtype=logits_Bb.dtype))
        if self._kind == "sup_con_out":
            self.sum_BD += pairs.sum_keys(keys_bD)
            return
        self.softmax.add_pairs(self._sign * logits_Bb[pairs.rows, pairs.keys], pairs, keys_bD)
        logits_Bb[pairs.rows, pairs.keys] = -torch.inf

    def _multiply(
        self, logits_Bb: Tensor, keys_bD: Tensor, same_Bm: Tensor, columns: Tensor | None
    ) -> None:
        keys_mD = keys_bD if columns is None else keys_bD[columns]
        self.count_B += same_Bm.sum(dim=1)
        if self._kind == "sup_con_out":
            self.sum_BD += product(same_Bm.to(keys_mD.dtype), keys_mD)
            return
        logits_Bm = logits_Bb if columns is None else logits_Bb[:, columns]
        self.softmax.add((self._sign * logits_Bm).masked_fill_(~same_Bm, -torch.inf), keys_mD)
        if columns is None:
            logits_Bb.masked_fill_(same_Bm, -torch.inf)
        else:
            logits_Bb[:, columns] = logits_Bm.masked_fill_(same_Bm, -torch.inf)


@torch.no_grad()
def stream_contrast(
    kind: Kind,
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    labels: Tensor | None,
    queue_labels: Tensor | None,
    temperature: float,
    half: bool = False,
) -> LossAndGradient:
    """Compute a contrastive loss of `raymoco.ssl.losses` and its gradient.

    Args:
        kind: which loss, with its option; "info_nce" needs no labels.
        query: (B, D), fp32 or float64.
        key: (B, D).
        queue: (K, D), K >= 0.
        labels: (B,), integer, negative = unlabeled.
        queue_labels: (K,), integer, negative = unlabeled.
        temperature: T > 0, unitless.
        half: multiply in bf16 and accumulate in fp32; never for "sup_con_out", whose gradient is a
            difference of two means that nearly cancel once classes are tight.
    Returns:
        The scalar mean loss in nats and its gradient (B, D), both in the query's dtype.
    """
    half = half and kind != "sup_con_out"
    scaled_BD = query / temperature
    key_BD = key.to(query.dtype)
    own_B = (scaled_BD * key_BD).sum(dim=1)
    positives = None
    if labels is not None and queue_labels is not None:
        positives = _Positives(kind, own_B, key_BD, labels)
    rest = OnlineSoftmax(query)
    for start, logits_Bb, keys_bD in _blocks(scaled_BD, queue, half):
        if positives is not None and queue_labels is not None:
            positives.take(logits_Bb, keys_bD, queue_labels[start : start + len(keys_bD)])
        rest.add(logits_Bb, keys_bD)
    loss_B, gradient_BD = _finish(kind, scaled_BD, own_B, key_BD, rest, positives)
    return loss_B.mean().to(query.dtype), gradient_BD / (temperature * len(query))


def _finish(
    kind: Kind,
    scaled_BD: Tensor,
    own_B: Tensor,
    key_BD: Tensor,
    rest: OnlineSoftmax,
    positives: _Positives | None,
) -> LossAndGradient:
    """Return each query's loss, and its gradient to the scaled query."""
    # a difference of two nearly equal means would consist of rounding errors. So each loss is the
    # softplus of how far the rest is above the positives, and the remaining term is 0 for a query
    # whose only positive is its own key
    if positives is None or kind == "sup_con_out":
        excess_B, difference_BD = rest.logsumexp() - own_B, rest.mean() - key_BD
    elif kind == "sup_con_in":
        excess_B = rest.logsumexp() - positives.softmax.logsumexp()
        difference_BD = rest.mean() - positives.softmax.mean()
    else:
        excess_B = rest.logsumexp() + positives.softmax.logsumexp()
        difference_BD = rest.mean() - positives.softmax.mean()
    if kind == "unicon_mean" and positives is not None:
        excess_B = excess_B - positives.count_B.log()
    # torch's default threshold of 20 drops 2e-9, which float64 can see
    loss_B = F.softplus(excess_B, threshold=40)
    gradient_BD = excess_B.sigmoid()[:, None].to(difference_BD.dtype) * difference_BD
    if kind == "sup_con_in" and positives is not None:
        loss_B = loss_B + positives.count_B.log()
    if kind == "sup_con_out" and positives is not None:
        beyond_BD = key_BD - positives.sum_BD / positives.count_B[:, None]
        loss_B = loss_B + (scaled_BD * beyond_BD).sum(dim=1)
        gradient_BD = gradient_BD + beyond_BD
    return loss_B, gradient_BD


@torch.no_grad()
def stream_divergence(
    query: Tensor, key: Tensor, queue: Tensor, temperature: float
) -> LossAndGradient:
    """Compute `cross_consistency` of the form "queue_kl" and its gradient; arguments as above.

    Never in bf16: where target and guess nearly agree, their difference would be rounding error.
    """
    batch = len(query)
    both = OnlineSoftmax(torch.cat([query, key]))
    scaled = torch.cat([query, key.to(query.dtype)]) / temperature
    gap_B1 = query.new_zeros(batch, 1)
    for _, logits, keys_bD in _blocks(scaled, queue, half=False):
        # from the same rounded logits, so that the errors of target and guess cancel to first order
        gap_Bb = logits[batch:] - logits[:batch]
        weights, shrink = both.add(logits, keys_bD)
        gap_B1 = gap_B1 * shrink[batch:] + (weights[batch:] * gap_Bb).sum(dim=1, keepdim=True)
    log_guess_B, log_target_B = both.logsumexp().double().chunk(2)
    gap_B = both.expectation(torch.cat([torch.zeros_like(gap_B1), gap_B1]))[batch:]
    mean_guess_BD, mean_target_BD = both.mean().chunk(2)
    loss = (gap_B - log_target_B + log_guess_B).mean().to(query.dtype)
    return loss, (mean_guess_BD - mean_target_BD) / (temperature * batch)


def _blocks(scaled_BD: Tensor, queue: Tensor, half: bool) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield for each block of the queue its first row, its logits (to overwrite), and its keys."""
    size = BLOCK_CUDA if scaled_BD.is_cuda else BLOCK
    dtype = torch.bfloat16 if half else scaled_BD.dtype
    factor_BD = scaled_BD.to(dtype)
    room_Bb = None
    for start in range(0, len(queue), size):
        keys_bD = queue[start : start + size].detach().to(dtype)
        if half:
            yield start, product(factor_BD, keys_bD.T), keys_bD
            continue
        if room_Bb is None or room_Bb.shape[1] != len(keys_bD):
            room_Bb = scaled_BD.new_empty(len(scaled_BD), len(keys_bD))
        yield start, torch.mm(factor_BD, keys_bD.T, out=room_Bb), keys_bD


def _must_not_ask(labels: Tensor) -> bool:
    # the number of positives is known only on the device, and the step must not wait for a GPU
    return labels.is_cuda


def _found_in(labels_b: Tensor, sorted_n: Tensor) -> Tensor:
    """The indices (m,) of the labels that are among the sorted ones."""
    if not len(sorted_n):
        return labels_b.new_empty(0)
    place_b = torch.searchsorted(sorted_n, labels_b).clamp_max_(len(sorted_n) - 1)
    return (sorted_n[place_b] == labels_b).nonzero().flatten()
