"""XMoCo's two regularizers as plain functions that work with any loss.

The published abstract (arXiv 2206.04676) asks that "any pair of images (positive or negative)
should preserve their cross-similarity under pretext transformations" and for "a uniform
distribution of similarity over the negative pairs across a batch". The paper's equations were not
available to this project: each form below is our reading of those sentences, and no number is
claimed for the paper.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from raymoco.config import ConsistencyForm, Positive, StrictModel, UniformityForm
from raymoco.errors import ConfigError
from raymoco.ssl.argument_checks import (
    require_batch,
    require_choice,
    require_labels,
    require_queue,
    require_temperature,
)
from raymoco.ssl.blockwise import pays, stream_divergence
from raymoco.ssl.query_gradient import loss_of_query, loss_with_gradient

CONSISTENCY_FORMS = ("batch_transpose", "batch_pairs", "queue_kl", "batch_kl")
UNIFORMITY_FORMS = ("kl", "entropy")


class RegularizerSettings(Protocol):
    """The settings of one of XMoCo's regularizers; `raymoco.config` has a class for each."""

    @property
    def weight(self) -> float:
        """Factor >= 0 in the total; 0 leaves the term out."""

    @property
    def form(self) -> str:
        """The form of the regularizer."""

    @property
    def temperature(self) -> float:
        """Softmax temperature > 0 of the forms that have one, unitless."""


def cross_consistency(
    query: Tensor,
    key: Tensor,
    queue: Tensor | None = None,
    form: Literal["batch_transpose", "batch_pairs", "queue_kl", "batch_kl"] = "batch_transpose",
    temperature: float = 0.1,
) -> Tensor:
    """Measure how much the similarity of two images changes when their views are exchanged.

    `batch_transpose`: mean over i != j of (q_i.k_j - q_j.k_i)^2. `batch_pairs`: mean over i != j
    of (q_i.q_j - k_i.k_j)^2. `queue_kl`: mean over i of KL(softmax(k_i.Q/T) || softmax(q_i.Q/T))
    over the queue Q. `batch_kl`: the same over the other images' keys.

    Args:
        query: L2-normalized queries, (B, D), float.
        key: L2-normalized keys of the same images, (B, D); detached.
        queue: L2-normalized older keys, (K, D); needed by `queue_kl` only; detached.
        form: one of the four above.
        temperature: softmax temperature T > 0 of the KL forms, unitless.
    Returns:
        Scalar >= 0; nats for the KL forms, squared cosine for the others. 0 with zero gradient
        where there is nothing to compare (B = 1, K = 0).
    Raises:
        ConfigError: temperature <= 0, unknown form, no queue for `queue_kl`, or shapes that do not
            fit together.
    Source: XMoCo, IEEE TCSVT 32(10), 2022, 6714-6727, arXiv:2206.04676. The paper's equations were
        not available: these forms are our reading of its abstract. `queue_kl` is the term of CO2,
        Wei et al. 2021, arXiv:2010.02217.
    """
    require_choice("form", form, CONSISTENCY_FORMS)
    require_temperature(temperature)
    require_batch(query, key)
    if queue is not None:
        require_queue(query, queue)
    elif form == "queue_kl":
        raise ConfigError("queue is None, but the form 'queue_kl' compares with the queue.")
    if form == "queue_kl" and queue is not None and pays(query, queue):
        return loss_with_gradient(
            lambda query_BD, _: stream_divergence(query_BD, key, queue, temperature), query
        )

    def formula(query_BD: Tensor) -> Tensor:
        key_BD = key.detach().to(query_BD.dtype)
        if form == "batch_transpose":
            cross_BB = query_BD @ key_BD.T
            return _mean_square(_others(cross_BB - cross_BB.T))
        if form == "batch_pairs":
            return _mean_square(_others(query_BD @ query_BD.T - key_BD @ key_BD.T))
        if form == "batch_kl":
            target_BJ, guess_BJ = _others(key_BD @ key_BD.T), _others(query_BD @ key_BD.T)
        else:
            assert queue is not None
            queue_KD = queue.detach().to(query_BD.dtype)
            target_BJ, guess_BJ = key_BD @ queue_KD.T, query_BD @ queue_KD.T
        return _mean_kl(target_BJ / temperature, guess_BJ / temperature)

    return loss_of_query(formula, query)


def negative_uniformity(
    query: Tensor,
    key: Tensor,
    labels: Tensor | None = None,
    form: Literal["kl", "entropy"] = "kl",
    temperature: float = 0.1,
) -> Tensor:
    """Measure how far each query's similarities to the batch's negatives are from uniform.

    With p = softmax over the n negatives j of q_i.k_j/T: `kl` is KL(uniform || p), `entropy` is
    log n - H(p). Both are >= 0, and 0 exactly when all negatives are equally similar. A collapsed
    encoder minimizes this term: use it only together with a loss.

    Args:
        query: L2-normalized queries, (B, D), float.
        key: L2-normalized keys of the same images, (B, D); detached.
        labels: (B,), integer, negative = unlabeled. Two images that share a visible label are not
            negatives of each other; without labels all pairs i != j are.
        form: "kl" or "entropy".
        temperature: softmax temperature T > 0, unitless.
    Returns:
        Scalar mean over the B images, in nats; an image without negatives adds 0.
    Raises:
        ConfigError: temperature <= 0, unknown form, or shapes that do not fit together.
    Source: XMoCo, arXiv:2206.04676, abstract. The paper's equations were not available: these
        forms are our reading of its abstract.
    """
    require_choice("form", form, UNIFORMITY_FORMS)
    require_temperature(temperature)
    require_batch(query, key)
    if labels is not None:
        require_labels("labels", labels, "query", query)

    def formula(query_BD: Tensor) -> Tensor:
        logits_BB = query_BD @ key.detach().to(query_BD.dtype).T / temperature
        excluded_BB = torch.eye(len(logits_BB), dtype=torch.bool, device=logits_BB.device)
        if labels is not None:
            labels_B1 = labels[:, None]
            excluded_BB = excluded_BB | ((labels_B1 == labels) & (labels_B1 >= 0))
        # at least 1, so that an image without negatives, whose sum is empty, adds 0
        count_B1 = (~excluded_BB).sum(dim=1, keepdim=True).clamp_min(1).to(logits_BB.dtype)
        logits_BB = logits_BB.masked_fill(excluded_BB, torch.finfo(logits_BB.dtype).min / 4)
        logits_BB = logits_BB - logits_BB.detach().amax(dim=1, keepdim=True)
        # log(p / uniform), in a form that is exactly 0 where all are equally similar
        mean_exp_B1 = logits_BB.exp().sum(dim=1, keepdim=True) / count_B1
        excess_BB = (logits_BB - mean_exp_B1.log()).masked_fill(excluded_BB, 0)
        weight_BB = -torch.ones_like(excess_BB) if form == "kl" else excess_BB.exp()
        per_image_B = (weight_BB * excess_BB).sum(dim=1) / count_B1[:, 0]
        return per_image_B.clamp_min(0).mean()  # rounding can make it negative

    return loss_of_query(formula, query)


class CrossConsistency:
    """`method.cross_consistency`, see `cross_consistency`."""

    uses_labels = False
    holds_gradient = no_host_read = True

    class Options(StrictModel):
        """The options beside the weight."""

        form: ConsistencyForm = "batch_transpose"
        temperature: Positive = 0.1

    def __init__(self, options: Options) -> None:
        self.options = options
        self.whole_batch = options.form != "queue_kl"

    def __call__(
        self, query: Tensor, key: Tensor, queue: Tensor, labels: Tensor, queue_labels: Tensor
    ) -> Tensor:
        return cross_consistency(query, key, queue, self.options.form, self.options.temperature)


class NegativeUniformity:
    """`method.negative_uniformity`, see `negative_uniformity`."""

    holds_gradient = no_host_read = True
    whole_batch = True

    class Options(StrictModel):
        """The options beside the weight."""

        form: UniformityForm = "kl"
        temperature: Positive = 0.1

    def __init__(self, options: Options) -> None:
        self.options = options

    def __call__(
        self, query: Tensor, key: Tensor, queue: Tensor, labels: Tensor, queue_labels: Tensor
    ) -> Tensor:
        return negative_uniformity(query, key, labels, self.options.form, self.options.temperature)


def _others(pairs_BB: Tensor) -> Tensor:
    """Return the entries off the diagonal, (B, B - 1), in order."""
    size = pairs_BB.shape[0]
    # without its first entry, the flat matrix has rows of B entries off the diagonal and one on it
    return pairs_BB.flatten()[1:].view(size - 1, size + 1)[:, :-1].reshape(size, size - 1)


def _mean_square(difference_BJ: Tensor) -> Tensor:
    return difference_BJ.square().sum() / max(difference_BJ.numel(), 1)


def _mean_kl(target_BJ: Tensor, guess_BJ: Tensor) -> Tensor:
    """Return the mean over rows of KL(softmax(target) || softmax(guess)); 0 for empty rows."""
    log_target_BJ = F.log_softmax(target_BJ, dim=1)
    log_ratio_BJ = log_target_BJ - F.log_softmax(guess_BJ, dim=1)
    return (log_target_BJ.exp() * log_ratio_BJ).sum(dim=1).mean()
