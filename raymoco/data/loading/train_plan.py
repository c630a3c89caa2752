"""The plan that both loaders follow: visible labels, strata, steps of an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raymoco.config import DataConfig
from raymoco.data.loading.label_list import listed_rows
from raymoco.data.loading.prepare import PreparedImages, fetch
from raymoco.data.loading.sampling import Stratum, count_steps, split_strata
from raymoco.data.loading.visible_labels import count_listed, visible_labels
from raymoco.data.shards.row_groups import Rows, read_index
from raymoco.errors import ConfigError, DataError


@dataclass(frozen=True)
class Reader:
    """One worker of one run, as the reader of images.

    Attributes:
        seed: the run's seed: order, and hidden labels where `data.label_seed` is null.
        batch_size: global, over all workers.
        rank: of this worker, 0 to workers - 1.
        epochs: of the run: nothing is read ahead for one beyond them; None: for any.
    """

    seed: int
    batch_size: int
    rank: int = 0
    workers: int = 1
    epochs: int | None = None

    @property
    def share(self) -> int:
        """The number of images of each global batch that this worker reads."""
        return self.batch_size // self.workers


@dataclass(frozen=True, eq=False)
class TrainPlan:
    """The plan of one worker's epochs; `plan_training` makes it.

    Attributes:
        images: as the driver prepared them.
        labels: the visible labels of the train split, (N,), -1 where there is none.
        strata: the rows that batches are drawn from, and how many each batch takes.
        steps: batches of an epoch, the same on every worker.
    """

    images: PreparedImages
    reader: Reader
    labels: Rows
    strata: tuple[Stratum, ...]
    steps: int

    @property
    def visible(self) -> int:
        """The number of training images with a visible label."""
        return int((self.labels >= 0).sum())

    @property
    def left_out(self) -> int:
        """The number of images of the larger stratum that an epoch leaves out."""
        left = (len(s.rows) - s.needed(self.steps, self.reader.workers) for s in self.strata)
        return max(0, *left, 0)


def plan_training(
    images: PreparedImages, data: DataConfig, reader: Reader, *, labeled_only: bool
) -> TrainPlan:
    """Decide which labels are visible and how a batch is composed; see `open_images`.

    Raises:
        ConfigError, DataError: as `open_images`.
    """
    _check(images, data, reader)
    train = images.splits["train"]
    ids = [name.decode() for name in fetch(train.ids).tolist()]
    elsewhere = _all_ids(images) if data.labelled_list else ()
    labels = visible_labels(ids, fetch(train.labels), data, reader.seed, elsewhere)
    seen = labels >= 0
    if labeled_only and not seen.any():
        raise DataError(_none_visible(data))
    strata = split_strata(seen, data.mix, reader.batch_size, reader.workers)
    steps = count_steps(strata, reader.workers)
    if labeled_only:
        strata = (Stratum(np.flatnonzero(seen), reader.share),)
    return TrainPlan(images, reader, labels, strata, steps)


class Planned:
    """The part of `Loader` that reads no image and answers from the plan."""

    def __init__(self, plan: TrainPlan) -> None:
        self._plan = plan

    @cached_property
    def visible_labels(self) -> Tensor:
        """See `Loader`."""
        return torch.from_numpy(self._plan.labels.copy())

    @property
    def reading(self) -> dict[str, Any]:
        """See `Loader`."""
        return self._plan.images.reading

    @property
    def visible(self) -> int:
        """See `Loader`."""
        return self._plan.visible

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Loader`."""
        return self._plan.images.classes

    @property
    def channels(self) -> int:
        """See `Loader`."""
        return self._plan.images.channels

    @property
    def image_size(self) -> int:
        """See `Loader`."""
        return self._plan.images.image_size

    @property
    def view_size(self) -> int:
        """See `Loader`."""
        return self._plan.images.seen

    def steps(self, epoch: int) -> int:
        """See `Loader`."""
        return self._plan.steps

    def short_batch(self, epoch: int) -> int:
        """See `Loader`."""
        return self._plan.left_out

    def close(self) -> None:
        """See `Loader`."""


def check_list(images: PreparedImages, data: DataConfig, *, needs_labels: bool) -> list[str]:
    """Check `data.labelled_list` before any worker starts; return what is to be told about it.

    Args:
        needs_labels: the loss learns from labeled images only.
    Raises:
        DataError: see `visible_labels`; or no label is visible, although the list names images or
            the loss needs labels. An empty list is UniMoCo's list of no labels.
    """
    if data.labelled_list is None:
        return []
    train = images.splits["train"]
    ids = [name.decode() for name in fetch(train.ids).tolist()]
    rows, account = listed_rows(data, ids, _all_ids(images))
    lines = [remark.line() for remark in account.remarks()]
    if (fetch(train.labels)[rows] >= 0).any():
        return lines
    if needs_labels:
        raise DataError(_none_visible(data))
    if count_listed(data.labelled_list):
        raise DataError(
            f"data.labelled_list {data.labelled_list}: makes no label visible: not one of its "
            "images is a training image that has a label."
        )
    return [f"data.labelled_list {data.labelled_list} is empty: no label is visible"]


def _none_visible(data: DataConfig) -> str:
    why = f"data.labelled_fraction is {data.labelled_fraction:g}"
    if data.labelled_list is not None:
        why = f"data.labelled_list {data.labelled_list} makes none visible"
    return f"no training image has a visible label: {why}, and this loss needs some."


def _check(images: PreparedImages, data: DataConfig, reader: Reader) -> None:
    rows = images.rows("train")
    if reader.batch_size % reader.workers:
        raise ConfigError(
            f"batch_size is {reader.batch_size}, but must be a multiple of {reader.workers} "
            "workers."
        )
    if reader.batch_size > rows:
        raise ConfigError(
            f"batch_size is {reader.batch_size}, but must be at most the number of training "
            f"images, {rows}."
        )
    if data.image_size not in (None, images.image_size):
        raise ConfigError(
            f"data.image_size is {data.image_size}, but the images were prepared with "
            f"{images.image_size} for the whole sweep: it cannot vary within one."
        )
    if data.view_size != images.view_size:
        raise ConfigError(
            f"data.view_size is {data.view_size}, but the images were prepared with "
            f"{images.view_size} for the whole sweep: it cannot vary within one."
        )
    if data.limit != images.limit:
        raise ConfigError(
            f"data.limit is {data.limit}, but the images were prepared with {images.limit} for the "
            "whole sweep: it cannot vary within one."
        )


def _all_ids(images: PreparedImages) -> set[str]:
    shards = images.manifest.shards
    return {image_id for shard in shards for image_id in read_index(images.folder, shard)[0]}
