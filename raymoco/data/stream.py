"""Images for training, as one worker of one run sees them, in a known order.

The order of an epoch is a function of (seed, epoch, workers) alone. In memory it is one permutation
of all images; streamed it is a permutation of pieces of shards, shuffled again in a window.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raymoco.config import DataConfig
from raymoco.data.labels import visible_labels
from raymoco.data.pieces import Chunk, cut_pieces, read_index
from raymoco.data.pipeline import require_free_cpu, run_pieces
from raymoco.data.prepare import ImageData, fetch, load_images, prepare_images
from raymoco.data.sources import refuse_unsupported
from raymoco.errors import ConfigError, DataError

__all__ = ["Batch", "ImageData", "Images", "load_images", "open_images", "prepare_images"]

WINDOW_ROWS = 8192
WINDOW_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Batch:
    """Images (b, C, S, S) uint8, labels (b,) int64 with -1 = hidden or none, row numbers (b,)."""

    images: Tensor
    labels: Tensor
    index: Tensor


def open_images(
    handle: ImageData,
    data: DataConfig,
    *,
    seed: int,
    batch_size: int,
    rank: int = 0,
    workers: int = 1,
    labelled_only: bool = False,
) -> Images:
    """One worker's part of the images, for one run.

    Args:
        handle: from `prepare_images`; one serves runs with any labels, seeds and batch sizes.
        seed: the run's seed: order, and hidden labels where `data.label_seed` is null.
        batch_size: global, over all workers.
        rank: of this worker, 0 to workers - 1.
        labelled_only: only images with a visible label, over and over, for as many steps as all
            images would give.
    Raises:
        ConfigError: the batch does not divide by the workers or exceeds the images; `data` asks for
            another image size or limit than the handle was prepared with.
        DataError: `labelled_only` and no label is visible; the label list names unknown images.
    """
    refuse_unsupported(data)
    if batch_size % workers:
        raise ConfigError(
            f"batch_size is {batch_size}, but must be a multiple of {workers} workers."
        )
    if batch_size > handle.rows("train"):
        raise ConfigError(
            f"batch_size is {batch_size}, but must be at most the number of training "
            f"images, {handle.rows('train')}."
        )
    if data.image_size not in (None, handle.image_size) or data.limit != handle.limit:
        raise ConfigError(
            f"data.image_size is {data.image_size} and data.limit {data.limit}, but the images "
            f"were prepared with {handle.image_size} and {handle.limit}."
        )
    return Images(handle, data, seed, batch_size, rank, workers, labelled_only)


class Images:
    """Batches for one worker of one run; `open_images` makes it.

    Attributes:
        visible_labels: what pre-training sees of the train split's labels, (N,) int64, -1 where
            nothing; in the order of `split("train", ...)`.
    """

    def __init__(
        self,
        handle: ImageData,
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

    @property
    def visible(self) -> int:
        """How many training images have a label that pre-training sees."""
        return int((self._labels >= 0).sum())

    def steps(self, epoch: int) -> int:
        """Batches of an epoch, the same on every worker."""
        return self._handle.rows("train") // self._batch_size

    def short_batch(self, epoch: int) -> int:
        """Images that an epoch leaves out: the size of its last, short batch."""
        return 0 if self._labelled_only else self._handle.rows("train") % self._batch_size

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """This worker's part of every global batch of an epoch.

        Raises:
            DataError: streaming, and a shard is damaged or no CPU is free.
        """
        generator = _generator(self._seed, epoch)
        needed = self.steps(epoch) * self._batch_size
        chunks = (
            self._streamed(generator, needed)
            if self._handle.streamed
            else (self._in_memory(generator, needed))
        )
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
            chunks = run_pieces(split.pieces, self.channels, self.image_size, batch_size)
            yield from (_batch(chunk, chunk.labels) for chunk in chunks)
            return
        images, labels = fetch(split.images), fetch(split.labels)
        for first in range(0, split.rows, batch_size):
            index = np.arange(first, min(first + batch_size, split.rows))
            yield _batch(Chunk(images[index], labels[index], index), labels[index])

    def _in_memory(self, generator: np.random.Generator, needed: int) -> Iterator[Chunk]:
        train = self._handle.splits["train"]
        images, labels = fetch(train.images), fetch(train.labels)
        pool = np.flatnonzero(self._labels >= 0) if self._labelled_only else np.arange(train.rows)
        cycles = -(-needed // len(pool))
        order = np.concatenate([generator.permutation(pool) for _ in range(cycles)])[:needed]
        part = self._batch_size // self._workers
        for index in order.reshape(-1, self._workers, part)[:, self._rank]:
            # indexing copies: a view of the shared array, written to, would change every process
            yield Chunk(images[index], labels[index], index)

    def _streamed(self, generator: np.random.Generator, needed: int) -> Iterator[Chunk]:
        self._check_cpu()
        pieces = list(self._handle.splits["train"].pieces)
        if self._labelled_only:
            chosen = (piece.select(self._labels[piece.index] >= 0) for piece in pieces)
            pieces = [piece for piece in chosen if len(piece.take)]
        rows = sum(len(piece.take) for piece in pieces)
        cycles = -(-needed // rows)
        order = [pieces[i] for _ in range(cycles) for i in generator.permutation(len(pieces))]
        share = needed // self._workers
        mine = cut_pieces(order, self._rank * share, (self._rank + 1) * share)
        chunks = run_pieces(mine, self.channels, self.image_size)
        window = max(1, min(WINDOW_ROWS, WINDOW_BYTES // self._handle.image_bytes))
        own = generator.spawn(self._workers)[self._rank]
        return shuffled(chunks, own, self._batch_size // self._workers, window)

    def _check_cpu(self) -> None:
        if not self._checked_cpu:  # once: who holds CPUs does so for a trainer's life
            require_free_cpu()
            self._checked_cpu = True


def shuffled(
    chunks: Iterator[Chunk], generator: np.random.Generator, batch_size: int, window: int
) -> Iterator[Chunk]:
    """Batches drawn at random from a window that moves along a stream; the last may be short.

    Ray's own local shuffle depends on how the blocks happen to come.
    """
    waiting: list[Chunk] = []
    held = 0
    window = max(window, 2 * batch_size)

    def mixed() -> Chunk:
        order = generator.permutation(held)
        parts = (
            [getattr(chunk, name) for chunk in waiting] for name in ("images", "labels", "index")
        )
        return Chunk(*(np.concatenate(part)[order] for part in parts))

    for chunk in chunks:
        waiting.append(chunk)
        held += len(chunk.index)
        if held >= window:
            pool = mixed()
            ready = held // 2 // batch_size * batch_size  # the other half mixes with what comes
            for first in range(0, ready, batch_size):
                yield _rows_of(pool, first, first + batch_size)
            waiting = [_rows_of(pool, ready, held)]
            held -= ready
    if held:
        pool = mixed()
        for first in range(0, held, batch_size):
            yield _rows_of(pool, first, min(first + batch_size, held))


def _batch(chunk: Chunk, labels: NDArray[np.int64]) -> Batch:
    arrays = (chunk.images, labels, chunk.index)
    return Batch(*(torch.from_numpy(np.require(a, requirements=["C", "W"])) for a in arrays))


def _rows_of(chunk: Chunk, start: int, stop: int) -> Chunk:
    return Chunk(chunk.images[start:stop], chunk.labels[start:stop], chunk.index[start:stop])


def _generator(seed: int, epoch: int) -> np.random.Generator:
    digest = hashlib.sha256(f"epoch:{seed}:{epoch}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _all_ids(handle: ImageData) -> set[str]:
    shards = handle.manifest.shards
    return {image_id for shard in shards for image_id in read_index(handle.folder, shard)[0]}
