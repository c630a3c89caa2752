"""Likely near copies: images that look alike although their pixels differ.

Each image becomes a fingerprint of 16x16 gray levels, without its brightness and contrast. Two
images are likely the same one, resized, mirrored or compressed again, if their fingerprints
correlate almost fully, or well and much better than those of others that resemble them. On
stickers, clothes and digits it tells apart better than the usual hash of 64 bits (dHash):
docs/data.md has the counts.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raymoco.data.codec import decode_to
from raymoco.data.shards.manifest import SPLITS, ShardSet
from raymoco.data.shards.row_groups import read_columns, shard_slices

SIDE = 16
LIKE = 0.985  # correlation from which two images are likely near copies
LEAST = 0.9  # or from this on, if it is as near to 1 as
NEARER = 0.25  # this share of the distance of
OTHERS = 5  # the fifth likest image of either
MOST_IMAGES = 6000  # decoding and comparing them takes seconds
LEAST_SPREAD = 2.0  # gray levels: of a blank image nothing can be said
BLOCK = 1024
KEPT = 1000  # pairs, the likest of each kind

Marks = NDArray[np.float32]


@dataclass(frozen=True, order=True)
class NearPair:
    """Two images that look alike, each with its split; `mirrored`: one in a mirror."""

    likeness: float
    first: str
    first_split: str
    second: str
    second_split: str
    mirrored: bool

    def line(self) -> str:
        """Say it in one line."""
        mirrored = ", mirrored" if self.mirrored else ""
        return (
            f"{self.first} ({self.first_split}) and {self.second} ({self.second_split}): "
            f"{self.likeness:.3f}{mirrored}"
        )


@dataclass(frozen=True)
class NearCopies:
    """Likely near copies among some images of a set: pairs across splits, and within one.

    `seen` of `total` images were compared; `across` and `within` hold the likest 1,000 pairs of
    `across_count` and `within_count`.
    """

    seen: int
    total: int
    across: tuple[NearPair, ...]
    within: tuple[NearPair, ...]
    across_count: int
    within_count: int

    def line(self) -> str:
        """Say it in one line."""
        some = f"{self.seen:,}" if self.seen == self.total else f"{self.seen:,} of {self.total:,}"
        pairs = f"{self.across_count:,} likely pair{'s' * (self.across_count != 1)}"
        return f"{pairs} across splits and {self.within_count:,} within one, among {some} images"


def find_near_copies(shards: ShardSet, most: int = MOST_IMAGES) -> NearCopies:
    """Compare up to `most` images of a set: half of them eval and test images, if there are enough.

    Exact copies are not among the pairs: the build has told of them.

    Raises:
        DataError: a shard is damaged.
    """
    total = sum(shards.rows(split) for split in SPLITS)
    judged = max(most // 2, most - shards.rows("train"))
    room = {"test": min(shards.rows("test"), max(judged // 2, judged - shards.rows("eval")))}
    room["eval"] = min(shards.rows("eval"), judged - room["test"])
    room["train"] = most - room["eval"] - room["test"]
    names: list[str] = []
    splits: list[str] = []
    contents: list[int] = []
    marks: list[Marks] = []
    for split, count in room.items():
        for name, encoded in _images(shards, split, count):
            names.append(name)
            splits.append(split)
            contents.append(hash(encoded))
            marks.append(_gray(encoded, shards.channels))
    found = _Pairs(names, splits)
    if len(marks) > 1:
        compared = _Compared(np.stack(marks), np.array(contents))
        usual = np.concatenate([_fifth(compared.rows(start)) for start in compared.starts])
        for start in compared.starts:
            likeness = compared.rows(start)
            distance = np.minimum(usual[start : start + BLOCK, None], usual[None])
            alike = (likeness >= LEAST) & (1 - likeness < NEARER * distance) | (likeness >= LIKE)
            a, b = np.nonzero(np.triu(alike, start + 1))
            found.add(a + start, b, likeness[a, b], compared.mirrored(a + start, b))
    return found.result(total)


class _Compared:
    """The likeness of every image to all, a block of rows at a time."""

    def __init__(self, gray: Marks, contents: NDArray[np.int64]) -> None:
        self._plain, self._turned = _normalized(gray), _normalized(gray[:, :, ::-1])
        self._blank = gray.reshape(len(gray), -1).std(1) < LEAST_SPREAD
        self._contents = contents
        self.starts = range(0, len(gray), BLOCK)

    def rows(self, start: int) -> Marks:
        """Correlations (BLOCK, N) as they are or in a mirror; 0 with exact copies and itself."""
        rows = slice(start, start + BLOCK)
        likeness: Marks = np.maximum(
            self._plain[rows] @ self._plain.T, self._turned[rows] @ self._plain.T
        )
        likeness[self._blank[rows]] = 0
        likeness[:, self._blank] = 0
        likeness[self._contents[rows, None] == self._contents] = 0
        return likeness

    def mirrored(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of pairs, whether one is liker to the other in a mirror."""
        one, other = self._plain[b], (self._turned[a] - self._plain[a])
        found: NDArray[np.bool_] = (one * other).sum(1) > 0
        return found


def _fifth(likeness: Marks) -> Marks:
    """How far from 1 the likeness to the fifth likest image is, for each row."""
    place = min(OTHERS, likeness.shape[1])
    found: Marks = 1 - np.partition(likeness, -place, axis=1)[:, -place]
    return found


class _Pairs:
    """Collects pairs and counts them, but keeps only the likest."""

    def __init__(self, names: list[str], splits: list[str]) -> None:
        self._names, self._splits = names, splits
        self._kept: dict[bool, list[NearPair]] = {True: [], False: []}
        self._counts = {True: 0, False: 0}

    def add(
        self,
        a: NDArray[np.int64],
        b: NDArray[np.int64],
        likeness: Marks,
        mirrored: NDArray[np.bool_],
    ) -> None:
        found = zip(a.tolist(), b.tolist(), likeness.tolist(), mirrored.tolist(), strict=True)
        for one, other, like, turned in found:
            across = self._splits[one] != self._splits[other]
            self._counts[across] += 1
            kept = self._kept[across]
            pair = NearPair(
                like,
                self._names[one],
                self._splits[one],
                self._names[other],
                self._splits[other],
                turned,
            )
            (heapq.heappush if len(kept) < KEPT else heapq.heappushpop)(kept, pair)

    def result(self, total: int) -> NearCopies:
        across, within = (tuple(sorted(self._kept[k], reverse=True)) for k in (True, False))
        return NearCopies(
            len(self._names), total, across, within, self._counts[True], self._counts[False]
        )


def _images(shards: ShardSet, split: str, count: int) -> Iterator[tuple[str, bytes]]:
    """Ids and encoded images of a split, as many as are wanted, in the order of its shards."""
    left = count
    for shard in shards.shards(split):
        for group_slice in shard_slices(shards.folder, shard):
            if left <= 0:
                return
            columns = read_columns(group_slice.select(slice(0, left)), ["id", "image"])
            yield from zip(columns["id"], columns["image"], strict=True)
            left -= len(columns["id"])


def _gray(encoded: bytes, channels: int) -> Marks:
    """16x16 gray levels of the center of an image, which is what a run sees."""
    with Image.open(io.BytesIO(encoded)) as opened:
        side = min(opened.size)
    pixels = decode_to(encoded, channels, min(side, 4 * SIDE))
    image = Image.fromarray(pixels[0] if channels == 1 else pixels.transpose(1, 2, 0))
    # symmetric, unlike BOX: a mirrored image has the mirrored fingerprint
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(small, np.float32)


def _normalized(images: Marks) -> Marks:
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(1, keepdims=True)
    found: Marks = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return found
