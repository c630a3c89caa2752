"""The order of the images, and the composition of a batch.

A batch takes a fixed number of rows from each stratum. The natural mix has one stratum with all
images; an exact ratio has one of the images with a visible label and one of the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raymoco.data.shards.row_groups import RowGroupSlice, Rows
from raymoco.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class Stratum:
    """Rows of the train split, and how many of them each batch of one worker has."""

    rows: Rows
    share: int

    def needed(self, steps: int, workers: int) -> int:
        """The number of rows that all workers take in an epoch, repeated ones counted again."""
        return steps * self.share * workers


def split_strata(
    visible: NDArray[np.bool_], mix: str, batch_size: int, workers: int
) -> tuple[Stratum, ...]:
    """The strata of each worker's batches: one for `natural`, or visible labels and the rest.

    Args:
        visible: (N,), which images have a visible label.
        mix: `natural`, or a ratio such as `1:7`, images with a visible label to the rest.
        batch_size: global; a multiple of `workers`.
    Raises:
        ConfigError: a worker's batch is no multiple of the ratio's sum.
        DataError: a stratum is empty.
    """
    part = batch_size // workers
    if mix == "natural":
        return (Stratum(np.arange(len(visible)), part),)
    ratio = [int(number) for number in mix.split(":")]
    if part % sum(ratio):
        raise ConfigError(
            f"data.mix is {mix}, so the batch of a worker must be a multiple of {sum(ratio)}, but "
            f"optim.batch_size {batch_size} over {workers} worker{'s' * (workers > 1)} is {part}."
        )
    rows = [np.flatnonzero(visible), np.flatnonzero(~visible)]
    for members, what, cure in (
        (rows[0], "has a visible label", "raise data.labelled_fraction"),
        (rows[1], "is without one that is visible", "lower data.labelled_fraction"),
    ):
        if not len(members):
            raise DataError(
                f"data.mix is {mix}, but none of the {len(visible)} training images {what}: "
                f"{cure}, or use natural."
            )
    return tuple(
        Stratum(members, part * number // sum(ratio))
        for members, number in zip(rows, ratio, strict=True)
    )


def count_steps(strata: Sequence[Stratum], workers: int) -> int:
    """The number of batches of an epoch: as many as the largest stratum fills, each row once."""
    return max(len(stratum.rows) // (stratum.share * workers) for stratum in strata)


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """The random generator of one epoch, the same on every worker."""
    digest = hashlib.sha256(f"epoch:{seed}:{epoch}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def batch_rows(
    strata: Sequence[Stratum], steps: int, rank: int, workers: int, generator: np.random.Generator
) -> Iterator[Rows]:
    """Yield the rows of each batch of one worker; a small stratum is repeated, reshuffled."""
    parts = []
    for stratum in strata:
        needed = stratum.needed(steps, workers)
        cycles = -(-needed // len(stratum.rows))
        order = np.concatenate([generator.permutation(stratum.rows) for _ in range(cycles)])[
            :needed
        ]
        parts.append(order.reshape(steps, workers, stratum.share)[:, rank])
    own = generator.spawn(workers)[rank]
    for step in range(steps):
        rows = np.concatenate([part[step] for part in parts])
        # batch norm groups are neighboring rows: they must not all be of one stratum
        yield own.permutation(rows) if len(strata) > 1 else rows


def interleaved(lists: Sequence[Sequence[RowGroupSlice]]) -> list[RowGroupSlice]:
    """Merge the row-group slices of several strata into one list, spread evenly by rows."""
    placed: list[tuple[float, int, RowGroupSlice]] = []
    for number, slices in enumerate(lists):
        total, done = sum(len(group_slice.take) for group_slice in slices), 0
        for group_slice in slices:
            placed.append((done / total, number, group_slice))
            done += len(group_slice.take)
    return [group_slice for _, _, group_slice in sorted(placed, key=lambda item: item[:2])]
