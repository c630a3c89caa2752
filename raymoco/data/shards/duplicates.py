"""Exact copies: images of one content in several places, found once every shard is built.

Each built shard leaves `RowNotes` beside it: of each row a digest of its pixels, so that a PNG that
was written again is found too. An image of `train` that is also judged would make every number too
good.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raymoco.data.account import Account, Kind
from raymoco.data.codec import Pixels
from raymoco.data.shards.manifest import SPLITS
from raymoco.data.shards.stats import Pixelwise
from raymoco.errors import DataError
from raymoco.files import write_atomically

TRAIN, EVAL, TEST = range(len(SPLITS))
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
NamesOf = Callable[[int, Sequence[int]], Sequence[str]]


def digest_of(pixels: Pixels) -> int:
    """64 bits of a hash of an image (C, H, W); gray stored as color has that of gray.

    Among a million different images two share it with a chance of 3 in 10**8.
    """
    if len(pixels) == 3 and (pixels[0, 0] == pixels[1, 0]).all() and _is_gray(pixels):
        pixels = pixels[:1]
    found = hashlib.sha256(np.array(pixels.shape, np.int64).data)  # CPUs have it built in
    found.update(np.ascontiguousarray(pixels).data)
    return int.from_bytes(found.digest()[:8], "little", signed=True)


def _is_gray(pixels: Pixels) -> bool:
    return bool((pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all())


@dataclass(frozen=True, eq=False)
class RowNotes:
    """Of each row of a shard as it was first built: digest, label (-1 = none), and statistics."""

    digests: Ints
    labels: Ints
    heights: Ints
    widths: Ints
    colors: Mask
    levels: NDArray[np.float64]

    @classmethod
    def of(cls, digests: Sequence[int], labels: Sequence[int | None], seen: Pixelwise) -> RowNotes:
        """Collect the notes of a shard's rows."""
        plain = [-1 if label is None else label for label in labels]
        return cls(
            np.array(digests, np.int64),
            np.array(plain, np.int64),
            np.array(seen.heights, np.int64),
            np.array(seen.widths, np.int64),
            np.array(seen.colors, bool),
            np.array(seen.levels, np.float64).reshape(-1, 2, 3),
        )

    def seen(self, rows: Sequence[int]) -> Pixelwise:
        """The statistics of some of the rows, as if only they had been added."""
        found = Pixelwise()
        found.heights = self.heights[rows].tolist()
        found.widths = self.widths[rows].tolist()
        found.colors = self.colors[rows].tolist()
        found.levels = list(self.levels[rows])
        return found

    def save(self, path: Path) -> None:
        """Write the notes, all or nothing."""
        stream = io.BytesIO()
        np.savez(stream, **vars(self))
        write_atomically(path, stream.getvalue())

    @classmethod
    def load(cls, path: Path) -> RowNotes:
        """Read the notes that `save` wrote."""
        try:
            with np.load(io.BytesIO(path.read_bytes())) as found:
                return cls(**{name: found[name] for name in cls.__dataclass_fields__})
        except Exception as error:  # noqa: BLE001 - damaged bytes can raise any error
            raise DataError(
                f"{path} is damaged ({error}): delete {path.parent.parent} and build again."
            ) from None


@dataclass(frozen=True, eq=False)
class Copies:
    """Rows that have copies elsewhere, by shard: its number, theirs, and what they are.

    `group` is the same for all copies of an image; `split` is an index of SPLITS.
    """

    shard: Ints
    row: Ints
    group: Ints
    split: Ints
    label: Ints

    def __len__(self) -> int:
        return len(self.row)


def find_copies(notes: Sequence[RowNotes], splits: Sequence[str]) -> Copies:
    """Find rows of equal content in shards, each of which is of one split."""
    starts = np.cumsum([0, *(len(one.digests) for one in notes)])
    digests = np.concatenate([np.empty(0, np.int64), *(one.digests for one in notes)])
    order = np.argsort(digests, kind="stable")
    same = digests[order[1:]] == digests[order[:-1]]
    copied = np.zeros(len(order), bool)
    copied[1:] = same
    copied[:-1] |= same
    rows = np.sort(order[copied])
    group = np.unique(digests[rows], return_inverse=True)[1]
    shard = np.searchsorted(starts, rows, side="right") - 1
    row = rows - starts[shard]
    codes = np.array([SPLITS.index(split) for split in splits], np.int64)
    labels = [notes[s].labels[row[shard == s]] for s in np.unique(shard).tolist()]
    label = np.concatenate([np.empty(0, np.int64), *labels])
    return Copies(shard, row, group, codes[shard], label)


def leave_out(
    copies: Copies, totals: dict[str, int], *, keep: bool, names_of: NamesOf, account: Account
) -> dict[int, list[int]]:
    """Decide which copies are left out, and account for all of them.

    Images of `train` that are also in `eval` or `test`, and those of `eval` that are also in
    `test`, are left out; but not if `keep`, nor if none with a label would be left in the split.

    Args:
        totals: images of each split that have a label; all images, where none has one.
        names_of: the ids of some rows of a shard.
    Returns:
        The rows to leave out, by the number of their shard.
    """
    if not len(copies):
        return {}
    has = np.zeros((copies.group.max() + 1, len(SPLITS)), bool)
    has[copies.group, copies.split] = True
    judged = copies.label >= 0 if (copies.label >= 0).any() else np.ones(len(copies), bool)
    gone = np.zeros(len(copies), bool)
    said: list[tuple[Kind, Mask, str]] = []
    for split, judges in ((EVAL, (TEST,)), (TRAIN, (TEST, EVAL))):
        mine = copies.split == split
        both = mine & has[copies.group][:, judges].any(1)
        nothing_left = (both & judged).sum() == totals[SPLITS[split]]
        why = "" if not nothing_left else f", and stay: {SPLITS[split]} would be without images"
        why = ", and stay: data.duplicates is keep" if keep else why
        for judge in judges:
            found = both & has[copies.group, judge]
            both = both & ~found
            what = f"of {SPLITS[split]} that are also in {SPLITS[judge]}{why}"
            said.append(("understood" if why else "left out", found, what))
            if not why:
                gone |= found
    for split, name in enumerate(SPLITS):
        rows = np.flatnonzero((copies.split == split) & ~gone)
        again = np.zeros(len(copies), bool)
        again[np.delete(rows, np.unique(copies.group[rows], return_index=True)[1])] = True
        said.append(("understood", again, f"of {name} are copies of others there, and stay"))
    said.append(("understood", _contradicted(copies), "have copies with another label"))
    for shard in np.unique(copies.shard).tolist():
        start, stop = np.searchsorted(copies.shard, [shard, shard + 1]).tolist()
        names = names_of(shard, copies.row[start:stop].tolist())
        for kind, found, reason in said:
            for place in np.flatnonzero(found[start:stop]).tolist():
                account.add(kind, reason, names[place])
    return {
        shard: copies.row[gone & (copies.shard == shard)].tolist()
        for shard in np.unique(copies.shard[gone]).tolist()
    }


def _contradicted(copies: Copies) -> Mask:
    """Which copies are of an image that has several labels."""
    low = np.full(copies.group.max() + 1, np.iinfo(np.int64).max)
    high = np.full(len(low), -1)
    labeled = copies.label >= 0
    np.minimum.at(low, copies.group[labeled], copies.label[labeled])
    np.maximum.at(high, copies.group[labeled], copies.label[labeled])
    return (low < high)[copies.group]
