"""Batches from images that are read from the shards and decoded again in every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import ray

from raymoco.data.codec import Pixels
from raymoco.data.loading.batch import Batch, to_batch
from raymoco.data.loading.decode import decode_slices
from raymoco.data.loading.sampling import Stratum, epoch_generator, interleaved
from raymoco.data.loading.shuffle_buffer import Ahead, ShuffleBuffer, prefetch, rebatched
from raymoco.data.loading.train_plan import Planned, TrainPlan
from raymoco.data.ray_tasks import require_free_cpu
from raymoco.data.shards.row_groups import DecodedRows, RowGroupSlice, cut_slices

BUFFER_ROWS = 8192
BUFFER_BYTES = 256 * 2**20
PREFETCHED = 2  # batches that are prepared ahead of the step


@dataclass(frozen=True, eq=False)
class EpochStream:
    """The rows of one epoch of one worker, and the generator of its draws."""

    epoch: int
    own: np.random.Generator
    rows: Ahead[DecodedRows]


class StreamLoader(Planned):
    """A `Loader` that keeps no images: an epoch is a permutation of row-group slices.

    Their rows are drawn at random from one shuffle buffer per stratum. While the last rows of an
    epoch are drawn from it, Ray Data decodes the first ones of the next.
    """

    def __init__(self, plan: TrainPlan) -> None:
        super().__init__(plan)
        self._checked_cpu = False
        self._memory: list[Pixels | None] = []  # of the buffers of earlier epochs
        self._next: EpochStream | None = None
        reader, image_bytes = plan.reader, plan.images.image_bytes
        held = max(1, min(BUFFER_ROWS, BUFFER_BYTES // image_bytes))
        self._windows = [held * stratum.share // reader.share for stratum in plan.strata]

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """See `Loader`."""
        for rows in prefetch(self._epoch_rows(epoch), PREFETCHED):
            yield to_batch(rows, self._plan.labels[rows.index])

    def close(self) -> None:
        """See `Loader`."""
        begun, self._next = self._next, None
        if begun is not None:
            begun.rows.close()

    def split(self, name: str, batch_size: int, *, whole: bool = False) -> Iterator[Batch]:
        """See `Loader`."""
        self._check_cpu()
        images = self._plan.images
        slices = images.splits[name].pieces(whole=whole)
        decoded = decode_slices(slices, images.channels, images.image_size)
        for rows in prefetch(rebatched(decoded, batch_size), PREFETCHED):
            yield to_batch(rows, rows.labels)

    def _epoch_rows(self, epoch: int) -> Iterator[DecodedRows]:
        """The rows of each of this worker's batches."""
        self._check_cpu()
        begun, self._next = self._next, None
        if begun is not None and begun.epoch != epoch:
            begun.rows.close()
            begun = None
        stream = begun or self._stream_of(epoch)
        own = stream.own
        old, self._memory = self._memory or [None] * len(self._windows), []
        buffers = [
            ShuffleBuffer(own, stratum.share, rows, memory)
            for stratum, rows, memory in zip(self._plan.strata, self._windows, old, strict=True)
        ]
        decoded = iter(stream.rows)
        try:
            for _ in range(self._plan.steps):
                while not all(buffer.ready for buffer in buffers):
                    rows = next(decoded, None)
                    if rows is None:
                        self._begin(epoch + 1)
                    self._hand_out(rows, buffers)
                drawn = [buffer.draw() for buffer in buffers]
                yield _mixed(drawn, own) if len(drawn) > 1 else drawn[0]
        finally:
            stream.rows.close()
            self._memory = [buffer.memory for buffer in buffers]

    def _stream_of(self, epoch: int) -> EpochStream:
        plan, reader = self._plan, self._plan.reader
        generator = epoch_generator(reader.seed, epoch)
        mine = [self._share_of(stratum, generator) for stratum in plan.strata]
        own = generator.spawn(reader.workers)[reader.rank]
        # one pipeline for all strata: two would wait for each other's CPUs
        images = plan.images
        decoded = decode_slices(interleaved(mine), images.channels, images.image_size)
        return EpochStream(epoch, own, Ahead(decoded, 1))

    def _begin(self, epoch: int) -> None:
        """Start decoding an epoch, as far as that goes before the first rows are taken."""
        last = self._plan.reader.epochs
        if ray.is_initialized() and (last is None or epoch < last):
            self._next = self._stream_of(epoch)

    def _share_of(self, stratum: Stratum, generator: np.random.Generator) -> list[RowGroupSlice]:
        """The row-group slices of a stratum that this worker reads in an epoch."""
        plan, reader = self._plan, self._plan.reader
        wanted = np.zeros(len(plan.labels), dtype=bool)
        wanted[stratum.rows] = True
        everything = plan.images.splits["train"].pieces(whole=True)
        chosen = (group_slice.select(wanted[group_slice.index]) for group_slice in everything)
        filled = [group_slice for group_slice in chosen if len(group_slice.take)]
        needed = stratum.needed(plan.steps, reader.workers)
        cycles = -(-needed // len(stratum.rows))
        order = [filled[i] for _ in range(cycles) for i in generator.permutation(len(filled))]
        share = needed // reader.workers
        return cut_slices(order, reader.rank * share, (reader.rank + 1) * share)

    def _hand_out(self, rows: DecodedRows | None, buffers: Sequence[ShuffleBuffer]) -> None:
        """Give each buffer the rows of its stratum; None closes all buffers."""
        for number, buffer in enumerate(buffers):
            if rows is None:
                buffer.close()
            elif len(buffers) == 1:
                buffer.add(rows)
            else:
                mine = rows.select((self._plan.labels[rows.index] >= 0) == (number == 0))
                if len(mine.index):
                    buffer.add(mine)

    def _check_cpu(self) -> None:
        # only once: actors hold their CPUs as long as a trainer lives
        if not self._checked_cpu and ray.is_initialized():
            require_free_cpu()
            self._checked_cpu = True


def _mixed(drawn: Sequence[DecodedRows], generator: np.random.Generator) -> DecodedRows:
    """Shuffle the draws of several strata into one batch, so that batch norm groups are mixed."""
    order = generator.permutation(sum(len(rows.index) for rows in drawn))
    parts = ([getattr(rows, name) for rows in drawn] for name in ("images", "labels", "index"))
    return DecodedRows(*(np.concatenate(part)[order] for part in parts))
