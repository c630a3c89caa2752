"""The regime of a run: how far its key encoder moves, and what its queue holds.

Pure functions of a config and of counts of images; only a list of labels is read from its file.
docs/method.md has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from raymoco.choices import LOSSES, LossChoice
from raymoco.config import DataConfig, RunConfig
from raymoco.data.loading.sampling import count_steps, split_strata
from raymoco.data.loading.visible_labels import count_listed
from raymoco.data.shards.manifest import Manifest


@dataclass(frozen=True)
class TrainImages:
    """The training images: their number, and how many there are of each label.

    `per_class` counts all labels, hidden ones too; it is empty where they are unknown.
    """

    count: int
    per_class: tuple[float, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest, count: int) -> TrainImages:
        """Return the images of a manifest, of which `count` are used."""
        train = manifest.counts["train"]
        share = count / train.rows if train.rows else 0.0
        return cls(count, tuple(share * images for images in train.per_class.values()))

    def visible(self, data: DataConfig) -> tuple[float, ...]:
        """Return the labels that a run is expected to see, by class.

        The images in `data.labelled_list` are counted, and taken to be of all classes alike.
        """
        fraction, labels = data.labelled_fraction, sum(self.per_class)
        if data.labelled_list is not None and labels:
            fraction *= min(1.0, count_listed(data.labelled_list) / labels)
        return tuple(fraction * images for images in self.per_class)


@dataclass(frozen=True)
class Regime:
    """The regime of one run; what a loss does not have is None.

    Attributes:
        epoch_steps: optimizer steps of an epoch.
        steps: of the whole run.
        first_weights: share of the key encoder's first weights that is left in it at the end: the
            product of `key_momentum` over all steps.
        fills: how many times the run's keys fill the queue.
        oldest: age of the oldest key in the queue, in steps.
        own_key: share of queries that meet an older key of their own image in the queue.
        own_negative: of all queries, those for which that key is a negative.
        positives: expected keys in a full queue with the label of a labeled query; None too where
            no label is known.
    """

    epoch_steps: int
    steps: int
    first_weights: float | None = None
    fills: float | None = None
    oldest: int | None = None
    own_key: float | None = None
    own_negative: float | None = None
    positives: float | None = None

    @property
    def oldest_epochs(self) -> float | None:
        """Age of the oldest key in the queue, in epochs."""
        return None if self.oldest is None else self.oldest / self.epoch_steps

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The regime in words, as rows of a table."""
        found = [("steps", f"{self.steps:,} in all, {self.epoch_steps:,} an epoch")]
        if self.first_weights is None:
            return [*found, ("key encoder", "none: this loss has neither keys nor a queue")]
        left = share(self.first_weights)
        found.append(("key encoder", f"{left} of its first weights are left at the end"))
        if self.fills is None or self.oldest is None or self.own_key is None:
            return [*found, ("queue", "not used by this loss")]
        plural = "" if self.oldest == 1 else "s"
        found.append(
            (
                "queue",
                f"filled {self.fills:,.3g} times; its oldest key is {self.oldest:,} step{plural} "
                f"({self.oldest_epochs:.2g} epochs) old; {self.own_key:.0%} of the queries meet an "
                "older key of their own image",
            )
        )
        if self.positives is not None:
            found.append(
                ("positives", f"about {self.positives:.3g} keys in the queue for a labeled query")
            )
        return found


def regime(config: RunConfig, images: TrainImages) -> Regime:
    """Return the regime of a run.

    Args:
        config: resolved or not; `changes` of the key momentum are respected.
        images: the training images.
    Raises:
        DataError, ConfigError: `data.mix` does not suit the labels or the batch, or the list of
            labels cannot be read.
    """
    loss = LOSSES.facts(config.method.loss, look=True)
    visible = images.visible(config.data)
    strata = _strata(config, images, sum(visible))
    epoch_steps = strata[0].steps
    steps = epoch_steps * config.epochs
    if not loss.has_keys:
        return Regime(epoch_steps, steps)
    left = math.prod(m**count for m, count in _momenta(config, epoch_steps))
    if not loss.uses_queue:
        return Regime(epoch_steps, steps, left)
    if loss.needs_labels:
        strata = [_Stratum(max(1.0, sum(visible)), config.optim.batch_size, epoch_steps, 1.0)]
    age = queue_reach(config) / config.optim.batch_size
    own = [stratum.meeting(age) * stratum.batch / config.optim.batch_size for stratum in strata]
    positive = [stratum.labeled if loss.uses_labels else 0.0 for stratum in strata]
    return Regime(
        epoch_steps,
        steps,
        left,
        fills=steps / age,
        oldest=math.ceil(age),
        own_key=sum(own),
        own_negative=sum(o * (1 - p) for o, p in zip(own, positive, strict=True)),
        positives=_positives(config, loss, visible, strata),
    )


def uses_queue(config: RunConfig) -> bool:
    """Whether the loss depends on the keys in the queue."""
    return LOSSES.facts(config.method.loss, look=True).uses_queue


def queue_reach(config: RunConfig) -> float:
    """Return how many images ago the oldest key in the queue was computed."""
    keys_per_image = 2 if config.method.symmetric else 1
    return config.method.queue_size / keys_per_image


@dataclass(frozen=True)
class _Stratum:
    """Images that batches are drawn from: each once before any comes again.

    `batch` is how many a global batch has of them, `labeled` their share with a visible label.
    """

    images: float
    batch: int
    steps: int
    labeled: float

    def meeting(self, age: float) -> float:
        """Return the share of queries whose image's previous key is at most `age` steps old.

        The image comes at an independent, uniform step of this pass and of the one before, so
        that the age is triangular from 1 to 2 P - 1 steps, P being the steps of a pass.
        """
        period = max(1, int(self.images / self.batch))
        ages = np.arange(1, 2 * period)
        chance = (period - np.abs(ages - period)) / period**2
        there = np.clip(age - (ages - 1), 0, 1)  # of the oldest step only a part may be left
        taken = min(1.0, period * self.batch / self.images)  # the rest of a pass is left out
        return float((chance * there).sum()) * taken


def _strata(config: RunConfig, images: TrainImages, visible: float) -> list[_Stratum]:
    """The strata that the loaders draw from, with the expected number of visible labels."""
    workers, batch = config.scale.workers, config.optim.batch_size
    # a label is expected as soon as any is: a fraction of a label is none in no run
    seen = np.arange(images.count) < (max(1, round(visible)) if visible > 0 else 0)
    strata = split_strata(seen, config.data.mix, batch, workers)
    steps = count_steps(strata, workers)
    return [
        _Stratum(len(s.rows), s.share * workers, steps, float(seen[s.rows].mean())) for s in strata
    ]


def _momenta(config: RunConfig, epoch_steps: int) -> Iterator[tuple[float, int]]:
    """The key momentum of each part of the run, and the number of its steps."""
    begins = sorted({0, *config.changes})
    for begin, end in zip(begins, [*begins[1:], config.epochs], strict=True):
        yield config.at(begin).method.key_momentum, (end - begin) * epoch_steps


def _positives(
    config: RunConfig, loss: LossChoice, visible: Sequence[float], strata: Sequence[_Stratum]
) -> float | None:
    """K x (share of keys with a visible label) x (chance that two labeled images are of a class).

    With equal classes it is K x share / classes.
    """
    labels = sum(visible)
    if not loss.uses_labels or not labels:
        return None
    labeled = sum(s.labeled * s.batch for s in strata) / config.optim.batch_size
    alike = math.fsum((count / labels) ** 2 for count in visible)
    return config.method.queue_size * labeled * alike


def share(value: float) -> str:
    """Format a share of weights with two digits, never as zero."""
    return "<0.001" if 0 < value < 0.001 else f"{value:.2g}"
