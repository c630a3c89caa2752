"""Images for training, as one worker of one run sees them, in a known order.

The order of an epoch is a function of (seed, epoch, workers) alone. In memory it is one permutation
of all images; streamed it is a permutation of pieces of shards, shuffled again in a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from torch import Tensor

from raymoco.config import DataConfig
from raymoco.data.loading.decode import decode_slices
from raymoco.data.loading.prepare import PreparedImages, fetch
from raymoco.data.loading.sampling import (
    Stratum,
    batch_rows,
    count_steps,
    epoch_generator,
    interleaved,
    split_strata,
)
from raymoco.data.loading.shuffle_buffer import ShuffleBuffer, prefetch, rebatched
from raymoco.data.loading.visible_labels import visible_labels
from raymoco.data.ray_tasks import require_free_cpu
from raymoco.data.shards.row_groups import DecodedRows, RowGroupSlice, cut_slices, read_index
from raymoco.errors import ConfigError, DataError

BUFFER_ROWS = 8192
BUFFER_BYTES = 256 * 2**20
PREFETCHED = 2  # batches that are ready before the step asks for them


@dataclass(frozen=True)
class Batch:
    """Images (b, C, S, S) uint8, labels (b,) int64 with -1 = hidden or none, row numbers (b,)."""

    images: Tensor
    labels: Tensor
    index: Tensor


def open_images(
    handle: PreparedImages,
    data: DataConfig,
    *,
    seed: int,
    batch_size: int,
    rank: int = 0,
    workers: int = 1,
    labelled_only: bool = False,
) -> ImageLoader:
    """One worker's part of the images, for one run.

    Args:
        handle: from `prepare_images`; one serves runs with any labels, seeds and batch sizes.
        seed: the run's seed: order, and hidden labels where `data.label_seed` is null.
        batch_size: global, over all workers.
        rank: of this worker, 0 to workers - 1.
        labelled_only: only images with a visible label, over and over, for as many steps as all
            images would give.
    Raises:
        ConfigError: the batch does not divide by the workers or exceeds the images; a worker's part
            of it does not divide by the sum of `data.mix`; `data` asks for another image size or
            limit than the handle was prepared with.
        DataError: `labelled_only` and no label is visible; one side of `data.mix` is empty; the
            label list names unknown images.
    """
    if batch_size % workers:
        raise ConfigError(
            f"batch_size is {batch_size}, but must be a multiple of {workers} workers."
        )
    if batch_size > handle.rows("train"):
        raise ConfigError(
            f"batch_size is {batch_size}, but must be at most the number of training "
            f"images, {handle.rows('train')}."
        )
    if data.image_size not in (None, handle.image_size):
        raise ConfigError(
            f"data.image_size is {data.image_size}, but the images were prepared with "
            f"{handle.image_size} for the whole sweep: it cannot vary within one."
        )
    if data.limit != handle.limit:
        raise ConfigError(
            f"data.limit is {data.limit}, but the images were prepared with {handle.limit} for the "
            "whole sweep: it cannot vary within one."
        )
    return ImageLoader(handle, data, seed, batch_size, rank, workers, labelled_only)


class ImageLoader:
    """Batches for one worker of one run; `open_images` makes it.

    Attributes:
        visible_labels: what pre-training sees of the train split's labels, (N,) int64, -1 where
            nothing; in the order of `split("train", ...)`.
    """

    def __init__(
        self,
        handle: PreparedImages,
        data: DataConfig,
        seed: int,
        batch_size: int,
        rank: int,
        workers: int,
        labelled_only: bool,
    ) -> None:
        self.channels, self.image_size = handle.channels, handle.image_size
        self.classes = handle.classes
        self._handle, self._seed = handle, seed
        self._batch_size, self._rank, self._workers = batch_size, rank, workers
        self._labelled_only, self._checked_cpu = labelled_only, False
        train = handle.splits["train"]
        ids = [name.decode() for name in fetch(train.ids).tolist()]
        elsewhere = _all_ids(handle) if data.labelled_list else ()
        labels = visible_labels(ids, fetch(train.labels), data, seed, elsewhere)
        self._labels = labels
        self.visible_labels = torch.from_numpy(labels.copy())
        if labelled_only and self.visible == 0:
            raise DataError(
                f"no training image has a visible label: data.labelled_fraction is "
                f"{data.labelled_fraction:g}, and this loss needs some."
            )

        sides = split_strata(labels >= 0, data.mix, batch_size, workers)
        self._steps = count_steps(sides, workers)
        self._sides = sides
        if labelled_only:
            self._sides = (Stratum(np.flatnonzero(labels >= 0), batch_size // workers),)

    @property
    def visible(self) -> int:
        """How many training images have a label that pre-training sees."""
        return int((self._labels >= 0).sum())

    def steps(self, epoch: int) -> int:
        """Batches of an epoch, the same on every worker.

        With an exact ratio as many as the side that lasts longest fills: none of its images comes
        twice, and the other side is cycled, reshuffled each time. `labelled_only` changes nothing.
        """
        return self._steps

    def short_batch(self, epoch: int) -> int:
        """Images that an epoch leaves out: the size of its last, short batch.

        With an exact ratio those of the side that lasts longest; the other one leaves none out.
        """
        left = (len(s.rows) - s.needed(self._steps, self._workers) for s in self._sides)
        return max(0, *left, 0)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """This worker's part of every global batch of an epoch.

        Streamed images are read, decoded and mixed in the background, ahead of the step.

        Raises:
            DataError: streaming, and a shard is damaged or no CPU is free.
        """
        generator = epoch_generator(self._seed, epoch)
        chunks = self._in_memory(generator)
        if self._handle.streamed:
            chunks = prefetch(self._streamed(generator), PREFETCHED)
        for chunk in chunks:
            yield _batch(chunk, self._labels[chunk.index])

    def split(self, name: str, batch_size: int) -> Iterator[Batch]:
        """A whole split on every worker, in a fixed order, with true labels.

        Args:
            name: train, eval or test.
            batch_size: rows of a batch; the last may be short.
        Raises:
            DataError: streaming, and a shard is damaged or no CPU is free.
        """
        split = self._handle.splits[name]
        if split.images is None:
            self._check_cpu()
            chunks = decode_slices(split.slices, self.channels, self.image_size)
            for chunk in prefetch(rebatched(chunks, batch_size), PREFETCHED):
                yield _batch(chunk, chunk.labels)
            return
        images, labels = fetch(split.images), fetch(split.labels)
        for first in range(0, split.rows, batch_size):
            index = np.arange(first, min(first + batch_size, split.rows))
            yield _batch(DecodedRows(images[index], labels[index], index), labels[index])

    def _in_memory(self, generator: np.random.Generator) -> Iterator[DecodedRows]:
        train = self._handle.splits["train"]
        images, labels = fetch(train.images), fetch(train.labels)
        for index in batch_rows(self._sides, self._steps, self._rank, self._workers, generator):
            # indexing copies: a view of the shared array, written to, would change every process
            yield DecodedRows(images[index], labels[index], index)

    def _streamed(self, generator: np.random.Generator) -> Iterator[DecodedRows]:
        self._check_cpu()
        mine = [self._share_of(side, generator) for side in self._sides]
        own = generator.spawn(self._workers)[self._rank]
        rows = max(1, min(BUFFER_ROWS, BUFFER_BYTES // self._handle.image_bytes))
        part = self._batch_size // self._workers
        windows = [ShuffleBuffer(own, s.share, rows * s.share // part) for s in self._sides]
        # one pipeline for all sides: two would wait for each other's CPUs
        chunks = decode_slices(interleaved(mine), self.channels, self.image_size)
        for _ in range(self._steps):
            while not all(window.ready for window in windows):
                self._hand_out(next(chunks, None), windows)
            drawn = [window.draw() for window in windows]
            yield _mixed(drawn, own) if len(drawn) > 1 else drawn[0]

    def _share_of(self, side: Stratum, generator: np.random.Generator) -> list[RowGroupSlice]:
        """The pieces, and parts of pieces, that this worker reads of a side in an epoch."""
        wanted = np.zeros(len(self._labels), dtype=bool)
        wanted[side.rows] = True
        everything = self._handle.splits["train"].slices
        chosen = (slice_.select(wanted[slice_.index]) for slice_ in everything)
        slices = [slice_ for slice_ in chosen if len(slice_.take)]
        needed = side.needed(self._steps, self._workers)
        cycles = -(-needed // len(side.rows))
        order = [slices[i] for _ in range(cycles) for i in generator.permutation(len(slices))]
        share = needed // self._workers
        return cut_slices(order, self._rank * share, (self._rank + 1) * share)

    def _hand_out(self, chunk: DecodedRows | None, windows: list[ShuffleBuffer]) -> None:
        """Give each window the rows of its side, or tell all that nothing more comes."""
        for number, window in enumerate(windows):
            if chunk is None:
                window.close()
            elif len(windows) == 1:
                window.add(chunk)
            else:
                mine = chunk.select((self._labels[chunk.index] >= 0) == (number == 0))
                if len(mine.index):
                    window.add(mine)

    def _check_cpu(self) -> None:
        if (
            not self._checked_cpu and ray.is_initialized()
        ):  # once: who holds CPUs does so for a trainer's life
            require_free_cpu()
            self._checked_cpu = True


def _mixed(drawn: list[DecodedRows], generator: np.random.Generator) -> DecodedRows:
    """One batch of the draws of several sides: groups of batch norm must not be all of one."""
    order = generator.permutation(sum(len(chunk.index) for chunk in drawn))
    parts = ([getattr(chunk, name) for chunk in drawn] for name in ("images", "labels", "index"))
    return DecodedRows(*(np.concatenate(part)[order] for part in parts))


def _batch(chunk: DecodedRows, labels: NDArray[np.int64]) -> Batch:
    arrays = (chunk.images, labels, chunk.index)
    return Batch(*(torch.from_numpy(np.require(a, requirements=["C", "W"])) for a in arrays))


def _all_ids(handle: PreparedImages) -> set[str]:
    shards = handle.manifest.shards
    return {image_id for shard in shards for image_id in read_index(handle.folder, shard)[0]}
