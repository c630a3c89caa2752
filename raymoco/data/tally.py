"""Reading a source once: its records by split, and what the manifest says about their pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from raymoco.data.codec import STORED_FORMATS, Pixels, decode, encode_png
from raymoco.data.manifest import SPLITS, ImageInfo, SplitCounts
from raymoco.data.sources import Record, Source
from raymoco.data.splits import in_eval_split
from raymoco.errors import DataError

Progress = Callable[[str], None]
PROGRESS_EVERY = 10_000
LEVELS = np.stack([np.arange(256) / 255, (np.arange(256) / 255) ** 2])  # x and x^2, (2, 256)


@dataclass
class Tally:
    """Everything read from a source: the records by split, and running sums over the pixels."""

    records: dict[str, list[Record]] = field(default_factory=lambda: {name: [] for name in SPLITS})
    skipped: list[str] = field(default_factory=list)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    colour: bool = False
    # per image, of the train split: the means over its pixels of x and x^2, three channels each
    images: int = 0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 3)))

    def add(self, record: Record, pixels: Pixels) -> None:
        evaluate = record.split == "train" and record.label is not None and in_eval_split(record.id)
        split = "eval" if evaluate else record.split
        self.records[split].append(record)
        self.sizes.add((pixels.shape[1], pixels.shape[2]))
        self.colour |= pixels.shape[0] == 3
        if split == "train":
            self.images += 1
            grey_levels = [np.bincount(plane.ravel(), minlength=256) for plane in pixels]
            self.sums += (LEVELS @ np.stack(grey_levels).T) / pixels[0].size  # grey fills all three

    def counts(self, split: str, classes: tuple[str, ...]) -> SplitCounts:
        labels = [record.label for record in self.records[split] if record.label is not None]
        per_class = np.bincount(np.array(labels, dtype=np.int64), minlength=len(classes))
        return SplitCounts(
            labelled=len(labels),
            unlabelled=len(self.records[split]) - len(labels),
            per_class=dict(zip(classes, per_class.tolist(), strict=True)),
        )

    def image_info(self) -> ImageInfo:
        return ImageInfo(
            channels=3 if self.colour else 1,
            height=min(height for height, _ in self.sizes),
            width=min(width for _, width in self.sizes),
            uniform=len(self.sizes) == 1,
        )

    def mean(self) -> list[float]:
        mean: list[float] = (self.sums[0] / self.images).tolist()
        return mean if self.colour else mean[:1]

    def std(self) -> list[float]:
        first, second = self.sums / self.images
        # at least one grey level: the views divide by it, and images may all be of one colour
        std: list[float] = np.sqrt(np.maximum(second - first**2, 255.0**-2)).tolist()
        return std if self.colour else std[:1]


def read_source(source: Source, progress: Progress | None) -> Tally:
    """Decode every record once; what cannot be decoded goes to `skipped`."""
    tally = Tally()
    for number, record in enumerate(source.records(), start=1):
        try:
            decoded = decode(record.image)
        except DataError:
            tally.skipped.append(record.id)  # the manifest names it
            continue
        if decoded.format not in STORED_FORMATS:
            pixels = decoded.pixels
            png = encode_png(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
            record = Record(record.id, png, record.label, record.split)
        tally.add(record, decoded.pixels)
        if progress and number % PROGRESS_EVERY == 0:
            progress(f"{source.name}: {number:,} images read")
    return tally
