"""Batches from decoded images in memory: in the object store or in this process."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from raymoco.data.loading.batch import Batch, to_batch
from raymoco.data.loading.prepare import fetch
from raymoco.data.loading.sampling import batch_rows, epoch_generator
from raymoco.data.loading.train_plan import Planned
from raymoco.data.shards.row_groups import DecodedRows


class MemoryLoader(Planned):
    """A `Loader` of decoded images: an epoch is one permutation of all rows of each stratum."""

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """See `Loader`."""
        plan, reader = self._plan, self._plan.reader
        train = plan.images.splits["train"]
        images, labels = fetch(train.pixels(whole=True)), fetch(train.labels)
        generator = epoch_generator(reader.seed, epoch)
        for index in batch_rows(plan.strata, plan.steps, reader.rank, reader.workers, generator):
            # index to copy: writing to a view of the shared array would change it in every process
            yield to_batch(DecodedRows(images[index], labels[index], index), plan.labels[index])

    def split(self, name: str, batch_size: int, *, whole: bool = False) -> Iterator[Batch]:
        """See `Loader`."""
        split = self._plan.images.splits[name]
        images, labels = fetch(split.pixels(whole=whole)), fetch(split.labels)
        for first in range(0, split.rows, batch_size):
            index = np.arange(first, min(first + batch_size, split.rows))
            yield to_batch(DecodedRows(images[index], labels[index], index), labels[index])
