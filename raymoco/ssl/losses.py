"""The contrastive losses as readable formulas over the whole queue.

q_i is the query of image i, k_i its own key, the queue holds K older keys. P_i = {k_i} and, if
image i has a visible label, every queue key with that label; N_i = the rest of the queue. Keys and
queue get no gradient. Nothing here reads a tensor's value on the host.

For a large queue `raymoco.ssl.blockwise` computes the same, faster.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from raymoco.config import StrictModel
from raymoco.ssl.argument_checks import (
    require_batch,
    require_choice,
    require_labels,
    require_queue,
    require_temperature,
)
from raymoco.ssl.blockwise import Kind, pays, stream_contrast
from raymoco.ssl.query_gradient import loss_of_query, loss_with_gradient


def info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float = 0.2) -> Tensor:
    """Mean cross-entropy of finding each query's own key among itself and the whole queue.

    Args:
        query: L2-normalized queries, (B, D), float.
        key: L2-normalized keys of the same images, (B, D); detached.
        queue: L2-normalized older keys, (K, D), K >= 0; detached.
        temperature: softmax temperature T > 0, unitless.
    Returns:
        Scalar mean loss, in nats; 0 with zero gradient for K = 0.
    Raises:
        ConfigError: temperature <= 0, or shapes that do not fit together.
    Source: He et al. 2020, arXiv:1911.05722, eq. 1. Deviation: none.
    """
    _check(query, key, queue, temperature)
    if pays(query, queue):
        return _streamed("info_nce", query, key, queue, None, None, temperature)

    def formula(query_BD: Tensor) -> Tensor:
        own_B, queue_BK = _logits(query_BD, key, queue, temperature)
        return _softplus(torch.logsumexp(queue_BK, dim=1) - own_B).mean()

    return loss_of_query(formula, query)


def unified_contrastive(
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    labels: Tensor,
    queue_labels: Tensor,
    temperature: float = 0.2,
    positives: Literal["sum", "mean"] = "sum",
) -> Tensor:
    """UniCon: the mean of log(1 + sum_N exp(q.n/T) * sum_P exp(-q.p/T)) over the queries.

    With one positive it is InfoNCE. It is computed as softplus(logsumexp(q.n/T) +
    logsumexp(-q.p/T)), because the product overflows fp32 near T = 0.03.

    Args:
        query: L2-normalized queries, (B, D), float.
        key: L2-normalized keys of the same images, (B, D); detached.
        queue: L2-normalized older keys, (K, D), K >= 0; detached.
        labels: labels of the queries, (B,), integer; negative = unlabeled, one positive.
        queue_labels: labels of the queue, (K,), integer; negative = unlabeled, never a positive.
        temperature: softmax temperature T > 0, unitless.
        positives: "sum" as published; "mean" divides the sum over P_i by |P_i|.
    Returns:
        Scalar mean loss, in nats; a query without negatives adds 0 with zero gradient.
    Raises:
        ConfigError: temperature <= 0, unknown positives, or shapes that do not fit together.
    Source: Dai et al. 2021 (UniMoCo), arXiv:2103.10773, the UniCon loss. Deviation: none for
        "sum"; "mean" is ours.
    """
    _check(query, key, queue, temperature, labels, queue_labels)
    require_choice("positives", positives, ("sum", "mean"))
    if pays(query, queue):
        kind: Kind = "unicon_sum" if positives == "sum" else "unicon_mean"
        return _streamed(kind, query, key, queue, labels, queue_labels, temperature)

    def formula(query_BD: Tensor) -> Tensor:
        own_B, queue_BK = _logits(query_BD, key, queue, temperature)
        positive_BK = _same_label(labels, queue_labels)
        negatives_B = _logsumexp_where(~positive_BK, queue_BK)
        positives_B = torch.logaddexp(-own_B, _logsumexp_where(positive_BK, -queue_BK))
        if positives == "mean":
            positives_B = positives_B - _positive_count(positive_BK, own_B).log()
        return _softplus(negatives_B + positives_B).mean()

    return loss_of_query(formula, query)


def sup_con(
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    labels: Tensor,
    queue_labels: Tensor,
    temperature: float = 0.2,
    form: Literal["out", "in"] = "out",
) -> Tensor:
    """Supervised contrastive loss against a queue, the positives inside or outside the log.

    The softmax of query i runs over k_i and the whole queue. "out" is the mean over P_i of
    -log softmax, "in" is -log of the mean over P_i of softmax.

    Args:
        query: L2-normalized queries, (B, D), float.
        key: L2-normalized keys of the same images, (B, D); detached.
        queue: L2-normalized older keys, (K, D), K >= 0; detached.
        labels: labels of the queries, (B,), integer; negative = unlabeled, one positive.
        queue_labels: labels of the queue, (K,), integer; negative = unlabeled, never a positive.
        temperature: softmax temperature T > 0, unitless.
        form: "out" or "in".
    Returns:
        Scalar mean loss, in nats.
    Raises:
        ConfigError: temperature <= 0, unknown form, or shapes that do not fit together.
    Source: Khosla et al. 2020, arXiv:2004.11362, eqs. 2 and 3. Deviation: the contrast set is the
        own key and MoCo's queue, not the batch; an unlabeled query has its own key only.
    """
    _check(query, key, queue, temperature, labels, queue_labels)
    require_choice("form", form, ("out", "in"))
    if pays(query, queue):
        kind: Kind = "sup_con_out" if form == "out" else "sup_con_in"
        return _streamed(kind, query, key, queue, labels, queue_labels, temperature)

    def formula(query_BD: Tensor) -> Tensor:
        own_B, queue_BK = _logits(query_BD, key, queue, temperature)
        positive_BK = _same_label(labels, queue_labels)
        count_B = _positive_count(positive_BK, own_B)
        partition_B = torch.logaddexp(own_B, torch.logsumexp(queue_BK, dim=1))
        if form == "out":
            positives_B = (own_B + queue_BK.masked_fill(~positive_BK, 0).sum(dim=1)) / count_B
            return (partition_B - positives_B).mean()
        positives_B = torch.logaddexp(own_B, _logsumexp_where(positive_BK, queue_BK))
        return (partition_B - positives_B + count_B.log()).mean()

    return loss_of_query(formula, query)


class InfoNCE:
    """`method.loss: info_nce`, see `info_nce`."""

    uses_labels = False
    holds_gradient = no_host_read = True

    def __init__(self, temperature: float) -> None:
        require_temperature(temperature)
        self.temperature = temperature

    def __call__(
        self, query: Tensor, key: Tensor, queue: Tensor, labels: Tensor, queue_labels: Tensor
    ) -> Tensor:
        return info_nce(query, key, queue, self.temperature)


class UniCon:
    """`method.loss: unicon`, see `unified_contrastive`."""

    holds_gradient = no_host_read = True

    class Options(StrictModel):
        """The option `method.positives`."""

        positives: Literal["sum", "mean"] = "sum"

    def __init__(self, temperature: float, options: Options) -> None:
        require_temperature(temperature)
        self.temperature, self.positives = temperature, options.positives

    def __call__(
        self, query: Tensor, key: Tensor, queue: Tensor, labels: Tensor, queue_labels: Tensor
    ) -> Tensor:
        return unified_contrastive(
            query, key, queue, labels, queue_labels, self.temperature, self.positives
        )


class SupConOut:
    """`method.loss: sup_con_out`, see `sup_con`."""

    holds_gradient = no_host_read = True
    form: Literal["out", "in"] = "out"

    def __init__(self, temperature: float) -> None:
        require_temperature(temperature)
        self.temperature = temperature

    def __call__(
        self, query: Tensor, key: Tensor, queue: Tensor, labels: Tensor, queue_labels: Tensor
    ) -> Tensor:
        return sup_con(query, key, queue, labels, queue_labels, self.temperature, self.form)


class SupConIn(SupConOut):
    """`method.loss: sup_con_in`, see `sup_con`."""

    form = "in"


def _streamed(
    kind: Kind,
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    labels: Tensor | None,
    queue_labels: Tensor | None,
    temperature: float,
) -> Tensor:
    return loss_with_gradient(
        lambda query_BD, half: stream_contrast(
            kind, query_BD, key, queue, labels, queue_labels, temperature, half
        ),
        query,
        temperature,
    )


def _logits(
    query_BD: Tensor, key: Tensor, queue: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return similarities over T: to the own key (B,), and to the queue (B, K)."""
    key_BD = key.detach().to(query_BD.dtype)
    queue_KD = queue.detach().to(query_BD.dtype)
    # divide the queries by T instead of the (B, K) logits: it saves a pass over them
    scaled_BD = query_BD / temperature
    return (scaled_BD * key_BD).sum(dim=1), scaled_BD @ queue_KD.T


def _same_label(labels: Tensor, queue_labels: Tensor) -> Tensor:
    labels_B1 = labels[:, None]
    return (labels_B1 == queue_labels) & (labels_B1 >= 0)


def _positive_count(positive_BK: Tensor, like: Tensor) -> Tensor:
    # a float of that dtype: the log of an integer would be fp32
    return positive_BK.sum(dim=1).to(like.dtype) + 1  # the own key


def _logsumexp_where(mask_BK: Tensor, logits_BK: Tensor) -> Tensor:
    """Return the logsumexp of each row over the mask; for an empty row a number whose exp is 0."""
    # not -inf: a row of -inf has the gradient inf - inf
    lowest = torch.finfo(logits_BK.dtype).min / 4
    return torch.logsumexp(logits_BK.masked_fill(~mask_BK, lowest), dim=1)


def _softplus(logits_B: Tensor) -> Tensor:
    # torch's default threshold of 20 has an error of 2e-9, which is visible in float64
    return F.softplus(logits_B, threshold=40)


def _check(
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    temperature: float,
    labels: Tensor | None = None,
    queue_labels: Tensor | None = None,
) -> None:
    require_temperature(temperature)
    require_batch(query, key)
    require_queue(query, queue)
    if labels is not None:
        require_labels("labels", labels, "query", query)
    if queue_labels is not None:
        require_labels("queue_labels", queue_labels, "queue", queue)
