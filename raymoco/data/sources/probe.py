"""What lies in a source, by its list of images and the headers of a sample: nothing is decoded."""

from __future__ import annotations

import heapq
import io
import statistics
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from raymoco.config import DataConfig
from raymoco.data.sources.open import open_source
from raymoco.data.sources.source import Entry, Source
from raymoco.data.splits import EVAL_SHARE, TEST_SHARE, unit_hash
from raymoco.errors import DataError

SAMPLE = 200  # images whose headers are read, spread over the source by a hash of their ids
AT_ONCE = 20  # of them in memory
# Pillow raises these for bytes that are no image, or not the beginning of one
NO_HEADER = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError),
    *(IndexError, KeyError, TypeError, RuntimeError),
)
GRAY_MODES = ("1", "L", "LA", "La", "I", "F")
OBLONG = 1.05  # the longer side over the shorter one: beyond it an image is not taken for a square


@dataclass(frozen=True)
class Probe:
    """The images of a source, counted, and the sizes of a sample.

    Attributes:
        images: that the source lists.
        train: that are expected to be trained on: without those of the test and eval splits, and
            fewer where some of the sample cannot be read.
        labelled: that have a label.
        classes: number of classes.
        sampled: images whose headers were read.
        short_side: median of the shorter sides, in pixels.
        square: the side, where all images of the sample are squares of one size; else None.
        oblong: share of the sample that is not square.
        channels: 1 if every image of the sample is gray, else 3.
    """

    images: int
    train: int
    labelled: int
    classes: int
    sampled: int
    short_side: int
    square: int | None
    oblong: float
    channels: int


def probe(data: DataConfig) -> Probe:
    """List a source's images and read the headers of a sample.

    Raises:
        ConfigError, DataError: the source cannot be opened, or no image of the sample can be read.
    """
    source = open_source(data)
    images = labelled = 0
    train, has_eval = 0.0, False
    sample: list[tuple[float, str, Entry]] = []
    for entry in source.entries():
        images += 1
        labelled += entry.label is not None
        has_eval |= entry.split == "eval"
        if entry.split not in ("test", "eval"):
            # None: the builder takes the test set from the labeled images
            tested = entry.split is None and entry.label is not None
            judged = entry.label is not None or not source.classes
            train += (1 - TEST_SHARE * tested) * (1 - EVAL_SHARE * judged)
        keep = heapq.heappush if len(sample) < SAMPLE else heapq.heappushpop
        keep(sample, (-unit_hash(f"probe:{entry.id}"), entry.id, entry))
    if has_eval:
        train /= 1 - EVAL_SHARE
    sizes, gray = [], True
    for width, height, colorless in _headers(source, [entry for _, _, entry in sorted(sample)]):
        sizes.append((width, height))
        gray &= colorless
    if not sizes:
        raise DataError(
            f"{data.root or source.name}: none of {len(sample)} files that were tried can be read "
            f"as an image, such as {sample[0][1]}."
        )
    train *= len(sizes) / len(sample)
    if data.limit is not None:
        train = min(train, data.limit)
    same = len(set(sizes)) == 1 and sizes[0][0] == sizes[0][1]
    return Probe(
        images=images,
        train=round(train),
        labelled=labelled,
        classes=len(source.classes),
        sampled=len(sizes),
        short_side=int(statistics.median(min(size) for size in sizes)),
        square=sizes[0][0] if same else None,
        oblong=sum(max(size) > OBLONG * min(size) for size in sizes) / len(sizes),
        channels=1 if gray else 3,
    )


def _headers(source: Source, sample: list[Entry]) -> Iterator[tuple[int, int, bool]]:
    """Width, height and whether there is no color, of each image that can be read."""
    for first in range(0, len(sample), AT_ONCE):
        places = [entry.place for entry in sample[first : first + AT_ONCE]]
        for found in source.read(places):
            if isinstance(found, np.ndarray):
                yield found.shape[1], found.shape[0], found.ndim == 2
                continue
            header = _header(found)
            if header is not None:
                yield header


def _header(encoded: bytes) -> tuple[int, int, bool] | None:
    """Width, height and whether there is no color; None where the build will say what is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, and of large images
            with Image.open(io.BytesIO(encoded)) as image:  # decodes nothing
                gray = image.mode in GRAY_MODES or image.mode.startswith("I;16")
                return image.width, image.height, gray
    except NO_HEADER:
        return None
