"""Momentum contrast: an encoder pair, a key queue, a loss and its regularizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from raymoco.choices import DEFAULT_LOSS, TERMS
from raymoco.errors import ConfigError
from raymoco.ssl.argument_checks import require_choice, require_temperature
from raymoco.ssl.batch_norm import BATCH_NORMS, convert_batch_norm
from raymoco.ssl.collectives import (
    all_gather,
    batch_order,
    batch_shuffle,
    batch_unshuffle,
    world_size,
)
from raymoco.ssl.encoders import Encoder, EncoderPair
from raymoco.ssl.key_queue import KeyQueue
from raymoco.ssl.objective import Batch, Objective, TermSettings, build_loss, build_terms
from raymoco.ssl.regularizers import RegularizerSettings


class AdjustableSettings(Protocol):
    """Settings that can change between two steps of one run; `MethodConfig` provides them.

    A term with its own section of the config is an attribute of that name.
    """

    @property
    def temperature(self) -> float:
        """Softmax temperature T > 0, unitless."""

    @property
    def key_momentum(self) -> float:
        """m, from 0 to 1."""

    @property
    def terms(self) -> Mapping[str, TermSettings]:
        """The settings of the other terms."""


class MoCo(nn.Module):
    """Computes the losses of a training step of MoCo, UniMoCo, SupCon with a queue, and XMoCo.

    Use it directly, or in DistributedDataParallel(broadcast_buffers=False) with the same number of
    images on every worker. Build it with the same seed on every worker, so that their queues agree.

    Args:
        encoder: maps images to unit vectors (B, dim); trained by gradients. Its batch norms are
            replaced in place for "split" and "sync".
        loss: a name of `raymoco.choices.LOSSES` or a third-party `package.module:Name`; or a
        mapping
            with this as its `name` and the options beside it.
        temperature: softmax temperature T > 0, unitless.
        queue_size: K >= 1, number of keys.
        queue_init: "random" unit vectors, or "empty": entries without a key are left out.
        key_momentum: m from 0 to 1: key encoder = m * key encoder + (1 - m) * query encoder.
        batch_norm: "plain": statistics of each worker's own images. "shuffle": the same, with the
            key images permuted across workers. "split": `bn_groups` groups per worker in both
            passes, the key images permuted. "sync": statistics of all workers' images.
        bn_groups: groups of each worker's batch for "split".
        symmetric: average the losses of both directions, against the same state of the queue.
        positives: option of unicon: "sum" as published, or "mean".
        cross_consistency: weight, form and temperature of that regularizer; None = weight 0.
        negative_uniformity: weight, form and temperature of that regularizer; None = weight 0.
        terms: other regularizers (`TermConfig`), by the name under which their values are returned.
        seed: seeds the queue's random vectors and the permutations of the key images.
    Raises:
        ConfigError: an argument out of its range; names it, its value and the range.
    Source: He et al. 2020, arXiv:1911.05722; Dai et al. 2021 (UniMoCo), arXiv:2103.10773; XMoCo,
        arXiv:2206.04676, as `raymoco.ssl.regularizers` says.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        loss: str | Mapping[str, Any] = DEFAULT_LOSS,
        temperature: float = 0.2,
        queue_size: int = 65536,
        queue_init: Literal["random", "empty"] = "random",
        key_momentum: float = 0.999,
        batch_norm: Literal["plain", "shuffle", "split", "sync"] = "shuffle",
        bn_groups: int = 8,
        symmetric: bool = False,
        positives: Literal["sum", "mean"] = "sum",
        cross_consistency: RegularizerSettings | None = None,
        negative_uniformity: RegularizerSettings | None = None,
        terms: Mapping[str, TermSettings] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_choice("batch_norm", batch_norm, BATCH_NORMS)
        require_choice("positives", positives, ("sum", "mean"))
        if queue_size < 1:
            raise ConfigError(f"queue_size is {queue_size}, but must be at least 1.")
        if not 0 <= key_momentum <= 1:
            raise ConfigError(f"key_momentum is {key_momentum}, but must be from 0 to 1.")
        self.loss = loss
        self.key_momentum = key_momentum
        self.batch_norm = batch_norm
        self.symmetric = symmetric
        self.positives = positives
        self._aim(
            temperature,
            {"cross_consistency": cross_consistency, "negative_uniformity": negative_uniformity},
            terms or {},
        )
        self.seed = seed
        self.step = 0
        self.encoders = EncoderPair(convert_batch_norm(encoder, batch_norm, bn_groups))
        self.queue = KeyQueue(
            queue_size,
            encoder.dim,
            queue_init,
            # a separate generator, so that the workers' queues agree whatever else they have drawn
            torch.Generator(device="cpu").manual_seed(seed),
        )

    def adjust(self, settings: AdjustableSettings) -> None:
        """Use new values of the settings that may change while weights and queue are kept."""
        self.key_momentum = settings.key_momentum
        sections = [name for name, choice in TERMS.choices.items() if choice.has_section]
        self._aim(
            settings.temperature,
            {name: getattr(settings, name) for name in sections},
            settings.terms,
        )

    def _aim(
        self,
        temperature: float,
        sections: Mapping[str, RegularizerSettings | None],
        terms: Mapping[str, TermSettings],
    ) -> None:
        require_temperature(temperature)
        self.temperature = temperature
        self.objective = Objective(
            build_loss(self.loss, temperature, {"positives": self.positives}),
            build_terms(sections, terms),
        )

    @property
    def encoder(self) -> Encoder:
        """The query encoder, which is evaluated and exported."""
        return cast(Encoder, self.encoders.query)

    def forward(self, view_a: Tensor, view_b: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the losses of one step; in training mode also update key encoder and queue.

        Args:
            view_a: one view of this worker's images, (B, C, H, W), for the queries.
            view_b: the other view, (B, C, H, W), for the keys.
            labels: (B,), integer, negative = unlabeled.
        Returns:
            Scalars: "loss", with gradient; detached, "contrast" and the unweighted value of each
            term
                whose weight is above 0, by its name.
        """
        if self.training:
            # before the keys are computed: they come from the encoder after this step's update
            with record_function("momentum update"):
                self.encoders.move_key(self.key_momentum)
        views = [(view_a, view_b), (view_b, view_a)][: 2 if self.symmetric else 1]
        with record_function("queries"):
            queries = [self.encoder(query_view) for query_view, _ in views]
        with record_function("keys"):
            keys = [self._make_keys(key_view, turn) for turn, (_, key_view) in enumerate(views)]
            global_labels = all_gather(labels)
            global_keys = [all_gather(key_BD) for key_BD in keys]

        with record_function("losses"):
            queue, queue_labels = self.queue.filled()
            turns = [
                self.objective.parts(
                    Batch(query_BD, key_BD, labels, global_key, global_labels), queue, queue_labels
                )
                for query_BD, key_BD, global_key in zip(queries, keys, global_keys, strict=True)
            ]
        parts = {name: torch.stack([turn[name] for turn in turns]).mean() for name in turns[0]}
        loss = self.objective.total(parts)

        if self.training:
            # the gradients of the losses are computed already: the queue may be overwritten before
            # backward
            with record_function("enqueue"):
                self.queue.enqueue(torch.cat(global_keys), global_labels.repeat(len(keys)))
            self.step += 1
        return {"loss": loss} | {name: part.detach() for name, part in parts.items()}

    @torch.no_grad()
    def _make_keys(self, view: Tensor, turn: int) -> Tensor:
        order = None
        # a permutation within one worker changes only the statistics of groups
        mixes = self.batch_norm == "split" or (self.batch_norm == "shuffle" and world_size() > 1)
        if self.training and mixes:
            order = batch_order(view.shape[0], self.seed, 2 * self.step + turn)
        key_BD: Tensor = self.encoders.key(batch_shuffle(view, order))
        return batch_unshuffle(key_BD, order)

    def get_extra_state(self) -> Tensor:
        """Return the number of training steps, a CPU tensor, which seeds the permutations."""
        return torch.tensor(self.step, dtype=torch.int64, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the number of training steps."""
        self.step = int(state)
