"""In which order images come, and what a batch is made of.

A batch takes so many rows of each of its sides: one side of all images for the natural mix, one of
those with a visible label and one of the rest for an exact ratio.
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
        """Rows that all workers take in an epoch, repeated ones counted again."""
        return steps * self.share * workers


def split_strata(
    visible: NDArray[np.bool_], mix: str, batch_size: int, workers: int
) -> tuple[Stratum, ...]:
    """The sides of each worker's batches: one for `natural`, or visible labels and the rest.

    Args:
        visible: (N,), which images have a label that pre-training sees.
        mix: `natural`, or `1:7`, visible labels to the rest.
        batch_size: global; a multiple of `workers`.
    Raises:
        ConfigError: a worker's batch is no multiple of the ratio's sum.
        DataError: a side is empty.
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
    for side, what, cure in (
        (rows[0], "has a visible label", "raise data.labelled_fraction"),
        (rows[1], "is without one that is visible", "lower data.labelled_fraction"),
    ):
        if not len(side):
            raise DataError(
                f"data.mix is {mix}, but none of the {len(visible)} training images {what}: "
                f"{cure}, or use natural."
            )
    return tuple(
        Stratum(side, part * number // sum(ratio)) for side, number in zip(rows, ratio, strict=True)
    )


def count_steps(sides: Sequence[Stratum], workers: int) -> int:
    """Batches of an epoch: as many as the side that lasts longest fills, each of its rows once."""
    return max(len(side.rows) // (side.share * workers) for side in sides)


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """Random numbers of one epoch, the same on every worker."""
    digest = hashlib.sha256(f"epoch:{seed}:{epoch}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def batch_rows(
    sides: Sequence[Stratum], steps: int, rank: int, workers: int, generator: np.random.Generator
) -> Iterator[Rows]:
    """The rows of each batch of one worker; a side that is too short begins again, reshuffled."""
    parts = []
    for side in sides:
        needed = side.needed(steps, workers)
        cycles = -(-needed // len(side.rows))
        order = np.concatenate([generator.permutation(side.rows) for _ in range(cycles)])[:needed]
        parts.append(order.reshape(steps, workers, side.share)[:, rank])
    own = generator.spawn(workers)[rank]
    for step in range(steps):
        rows = np.concatenate([part[step] for part in parts])
        # groups of batch norm are neighbors: they must not be all of one side
        yield own.permutation(rows) if len(sides) > 1 else rows


def interleaved(lists: Sequence[Sequence[RowGroupSlice]]) -> list[RowGroupSlice]:
    """Pieces of several sides in one list, so that each side comes at the pace of its rows."""
    placed: list[tuple[float, int, RowGroupSlice]] = []
    for number, slices in enumerate(lists):
        total, done = sum(len(slice_.take) for slice_ in slices), 0
        for slice_ in slices:
            placed.append((done / total, number, slice_))
            done += len(slice_.take)
    return [slice_ for _, _, slice_ in sorted(placed, key=lambda item: item[:2])]
