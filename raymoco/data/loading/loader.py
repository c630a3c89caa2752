"""The images of one worker of one run, in a known order.

The order of an epoch is a function of (seed, epoch, workers) alone. In memory it is one permutation
of all images; streamed it is a permutation of row-group slices, shuffled again in a buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor

from raymoco.config import DataConfig
from raymoco.data.loading.batch import Batch
from raymoco.data.loading.memory import MemoryLoader
from raymoco.data.loading.prepare import PreparedImages
from raymoco.data.loading.stream import StreamLoader
from raymoco.data.loading.train_plan import Reader, plan_training

__all__ = ["Batch", "Loader", "Reader", "open_images"]


class Loader(Protocol):
    """Batches for one worker of one run, from memory or streamed."""

    @property
    def visible_labels(self) -> Tensor:
        """The train split's labels that pre-training sees, -1 where it sees none.

        (N,) int64, in the order of `split("train", ...)`.
        """

    @property
    def visible(self) -> int:
        """The number of training images with a visible label."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by number; empty where no image has a label."""

    @property
    def channels(self) -> int:
        """1 or 3."""

    @property
    def image_size(self) -> int:
        """Side of the images in pixels, as they are resized and cut."""

    @property
    def reading(self) -> dict[str, Any]:
        """How a file became pixels, see `PreparedImages`; checkpoints keep it."""

    @property
    def view_size(self) -> int:
        """Side of what the encoder sees, in pixels: of the views, and of the images of a split."""

    def steps(self, epoch: int) -> int:
        """The number of batches of an epoch, the same on every worker.

        With an exact ratio, the larger stratum decides: each of its images comes at most once, and
        the smaller one is repeated, reshuffled each time. `labeled_only` does not change it.
        """

    def short_batch(self, epoch: int) -> int:
        """The number of images that an epoch leaves out: the size of its last, incomplete batch.

        With an exact ratio they are images of the larger stratum; the other one leaves none out.
        """

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield this worker's part of every global batch of an epoch.

        Streamed images are read, decoded and shuffled in the background, ahead of the step.

        Raises:
            DataError: streaming, and a shard is damaged or no CPU is free.
        """

    def close(self) -> None:
        """Stop reading ahead; call it when no further epoch will be read."""

    def split(self, name: str, batch_size: int, *, whole: bool = False) -> Iterator[Batch]:
        """Yield a whole split on every worker, in a fixed order, with true labels.

        Args:
            name: train, eval or test.
            batch_size: rows of a batch; the last batch may have fewer.
            whole: with `data.view_size` the whole images of train or eval, which views are cut
                from, instead of their centers.
        Raises:
            DataError: streaming, and a shard is damaged or no CPU is free.
        """


def open_images(
    images: PreparedImages, data: DataConfig, reader: Reader, *, labeled_only: bool = False
) -> Loader:
    """Open the images of one worker for one run.

    Args:
        images: from `prepare_images`; they serve runs with any labels, seeds and batch sizes.
        reader: which worker of which run reads.
        labeled_only: repeat only images with a visible label, for as many steps as an epoch of all
            images has.
    Raises:
        ConfigError: the batch size is not a multiple of the workers or exceeds the number of
            images; a worker's part of it is not a multiple of the sum of `data.mix`; `data` has
            another image size or limit than the images were prepared with.
        DataError: `labeled_only` and no label is visible; a stratum of `data.mix` is empty; the
            label list names unknown images.
    """
    plan = plan_training(images, data, reader, labeled_only=labeled_only)
    return StreamLoader(plan) if images.streamed else MemoryLoader(plan)
