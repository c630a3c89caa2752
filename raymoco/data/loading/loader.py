"""Images for training, as one worker of one run sees them, in a known order.

The order of an epoch is a function of (seed, epoch, workers) alone. In memory it is one permutation
of all images; streamed it is a permutation of row-group slices, shuffled again in a buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from raymoco.config import DataConfig
from raymoco.data.loading.batch import Batch
from raymoco.data.loading.memory import MemoryLoader
from raymoco.data.loading.prepare import PreparedImages
from raymoco.data.loading.stream import StreamLoader
from raymoco.data.loading.train_plan import Reader, plan_training

__all__ = ["Batch", "Loader", "Reader", "open_images"]


class Loader(Protocol):
    """Batches for one worker of one run, wherever the pixels lie."""

    @property
    def visible_labels(self) -> Tensor:
        """What pre-training sees of the train split's labels, -1 where nothing.

        (N,) int64, in the order of `split("train", ...)`.
        """

    @property
    def visible(self) -> int:
        """How many training images have a label that pre-training sees."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by number; empty where nothing has a label."""

    @property
    def channels(self) -> int:
        """1 or 3."""

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""

    def steps(self, epoch: int) -> int:
        """Batches of an epoch, the same on every worker.

        With an exact ratio as many as the stratum that lasts longest fills: none of its images
        comes twice, and the other one is cycled, reshuffled each time. `labelled_only` changes
        nothing.
        """

    def short_batch(self, epoch: int) -> int:
        """Images that an epoch leaves out: the size of its last, short batch.

        With an exact ratio those of the stratum that lasts longest; the other one leaves none out.
        """

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """This worker's part of every global batch of an epoch.

        Streamed images are read, decoded and mixed in the background, ahead of the step.

        Raises:
            DataError: streaming, and a shard is damaged or no CPU is free.
        """

    def split(self, name: str, batch_size: int) -> Iterator[Batch]:
        """A whole split on every worker, in a fixed order, with true labels.

        Args:
            name: train, eval or test.
            batch_size: rows of a batch; the last may be short.
        Raises:
            DataError: streaming, and a shard is damaged or no CPU is free.
        """


def open_images(
    images: PreparedImages, data: DataConfig, reader: Reader, *, labelled_only: bool = False
) -> Loader:
    """One worker's part of the images, for one run.

    Args:
        images: from `prepare_images`; one serves runs with any labels, seeds and batch sizes.
        reader: which worker of which run asks.
        labelled_only: only images with a visible label, over and over, for as many steps as all
            images would give.
    Raises:
        ConfigError: the batch does not divide by the workers or exceeds the images; a worker's part
            of it does not divide by the sum of `data.mix`; `data` asks for another image size or
            limit than the images were prepared with.
        DataError: `labelled_only` and no label is visible; a stratum of `data.mix` is empty; the
            label list names unknown images.
    """
    plan = plan_training(images, data, reader, labelled_only=labelled_only)
    return StreamLoader(plan) if images.streamed else MemoryLoader(plan)
