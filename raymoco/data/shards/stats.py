"""The statistics of the images in a manifest, collected per shard and added up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from raymoco.data.account import Remark
from raymoco.data.codec import Pixels
from raymoco.data.decoding.deep import Range
from raymoco.data.shards.manifest import ImageInfo, ShardInfo, SplitCounts

Progress = Callable[[str], None]
Advance = Callable[[int, int], None]
LEVELS = np.stack([np.arange(256) / 255, (np.arange(256) / 255) ** 2])  # x and x^2, (2, 256)
# whole numbers, floats -> the least and greatest value, and the id of an image
Spans = dict[str, tuple[float, float, str]]


class Pixelwise:
    """Sizes and gray levels of some images, in the order in which they are added.

    `levels` are of each image the means over its pixels of x and x^2, (2, 3).
    """

    def __init__(self) -> None:
        self.heights: list[int] = []
        self.widths: list[int] = []
        self.colors: list[bool] = []
        self.levels: list[NDArray[np.float64]] = []

    def add(self, pixels: Pixels, shape: tuple[int, int]) -> None:
        """Count one image, (C, H, W) uint8; `shape` is its height and width as it is stored."""
        self.heights.append(shape[0])
        self.widths.append(shape[1])
        self.colors.append(pixels.shape[0] == 3)
        gray_levels = [np.bincount(plane.ravel(), minlength=256) for plane in pixels]
        found = (LEVELS @ np.stack(gray_levels).T) / pixels[0].size
        self.levels.append(np.broadcast_to(found, (2, 3)))  # gray fills all three

    def facts(self) -> dict[str, Any]:
        """The statistics of `Built`: the levels are added up one after the other."""
        sums = np.zeros((2, 3))
        for found in self.levels:
            sums += found
        return {
            "sums": tuple(map(tuple, sums.tolist())),
            "heights": (min(self.heights, default=0), max(self.heights, default=0)),
            "widths": (min(self.widths, default=0), max(self.widths, default=0)),
            "color": any(self.colors),
        }


class Built(BaseModel):
    """One finished shard (null if none of its images could be decoded), and its statistics.

    `skipped` are ids of corrupt images; `remarks` says why, and what was changed in others;
    `without` are rows that it had when it was first built. `spans` are the values of images of more
    than 8 bits, and `value_range` those that became 0 to 255; null while that range is not known,
    and then the shard is still to be written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shard: ShardInfo | None
    entries: int
    skipped: tuple[str, ...]
    per_class: dict[int, int]
    sums: tuple[tuple[float, ...], ...]
    heights: tuple[int, int]
    widths: tuple[int, int]
    color: bool
    remarks: tuple[Remark, ...] = ()
    without: tuple[int, ...] = ()
    spans: Spans = {}
    value_range: Range | None = None

    @property
    def waits(self) -> bool:
        """Whether the shard waits for the range of values of the whole data set."""
        return bool(self.spans) and self.value_range is None


def count(built: Sequence[Built], split: str, classes: Sequence[str]) -> SplitCounts:
    """Count the images of one split: labeled, unlabeled and per class."""
    mine = [b for b in built if b.shard is not None and b.shard.split == split]
    rows = {kind: sum(b.shard.rows for b in mine if b.shard and b.shard.labelled is kind)
            for kind in (True, False)}  # fmt: skip
    per_class = {
        name: sum(b.per_class.get(number, 0) for b in mine) for number, name in enumerate(classes)
    }
    return SplitCounts(labelled=rows[True], unlabelled=rows[False], per_class=per_class)


def image_info(built: Sequence[Built]) -> ImageInfo:
    """Channels and sizes of all images; at least one shard must have images."""
    found = [b for b in built if b.shard is not None]
    low = [min(getattr(b, side)[0] for b in found) for side in ("heights", "widths")]
    high = [max(getattr(b, side)[1] for b in found) for side in ("heights", "widths")]
    return ImageInfo(
        channels=3 if any(b.color for b in found) else 1,
        height=low[0],
        width=low[1],
        uniform=low == high,
    )


def mean_and_std(built: Sequence[Built], channels: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel over the training images, in 0-1.

    They are added up in the order of the shards, so that the digits do not depend on which process
    built which shard.
    """
    train = [b for b in built if b.shard is not None and b.shard.split == "train"]
    images = sum(b.shard.rows for b in train if b.shard)
    first, second = np.sum([b.sums for b in train], axis=0) / images
    # at least one gray level: views divide by it, and all images may have one color
    spread = np.sqrt(np.maximum(second - first**2, 255.0**-2))
    return first[:channels].tolist(), spread[:channels].tolist()
