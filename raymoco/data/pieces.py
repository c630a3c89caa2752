"""Pieces of shards: what one read takes, and in which order and share a worker reads them.

A piece is a row group. Permuting pieces instead of whole shards mixes labelled and unlabelled
shards, and lets workers share any number of shards evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raymoco.data.codec import Pixels, decode_to
from raymoco.data.labels import HIDDEN
from raymoco.data.manifest import ShardInfo
from raymoco.errors import DataError

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Piece:
    """Some rows of one row group of one shard.

    `take` are rows within the group, `index` (as long) the rows' numbers within their split.
    """

    path: str
    bytes: int
    group: int
    group_rows: int
    take: Rows
    index: Rows

    def select(self, chosen: NDArray[np.bool_] | slice) -> Piece:
        """The piece with only the chosen ones of its rows."""
        return replace(self, take=self.take[chosen], index=self.index[chosen])


@dataclass(frozen=True, eq=False)
class Chunk:
    """Decoded rows: images (n, C, S, S) uint8, true labels (n,) and row numbers (n,) int64."""

    images: Pixels
    labels: Rows
    index: Rows


def shard_pieces(folder: Path, shard: ShardInfo) -> list[Piece]:
    """All rows of a shard, a piece for each row group, numbered from 0."""
    pieces = []
    for group, first in enumerate(range(0, shard.rows, shard.rows_per_group)):
        rows = np.arange(min(shard.rows_per_group, shard.rows - first))
        path = str(folder / shard.path)
        pieces.append(Piece(path, shard.bytes, group, len(rows), rows, rows + first))
    return pieces


def read_index(folder: Path, shard: ShardInfo) -> tuple[list[str], Rows]:
    """Ids and true labels (-1 = none) of a shard, without reading the images.

    Raises:
        DataError: the shard is damaged; names the file.
    """
    ids: list[str] = []
    labels: list[int | None] = []
    for piece in shard_pieces(folder, shard):
        columns = _read_columns(piece, ["id", "label"])
        ids += columns["id"]
        labels += columns["label"]
    return ids, _plain_labels(labels)


def read_piece(piece: Piece, channels: int, image_size: int) -> Chunk:
    """Read and decode the rows of a piece.

    Raises:
        DataError: the shard is missing, cut off or corrupt, never wrong pixels; names the file.
    """
    columns = _read_columns(piece, ["id", "image", "label"])
    images = np.empty((len(piece.take), channels, image_size, image_size), np.uint8)
    for place, row in enumerate(piece.take):
        try:
            images[place] = decode_to(columns["image"][row], channels, image_size)
        except DataError as error:
            raise damaged(piece.path, f"{columns['id'][row]} is {error}") from None
    return Chunk(images, _plain_labels(columns["label"])[piece.take], piece.index)


def damaged(path: str | Path, reason: object) -> DataError:
    """The error for a shard that is not what was built, with what to do about it."""
    folder = Path(path).parent.parent
    text = str(reason).strip().rstrip(".")
    return DataError(
        f"{path}: the shard is damaged: {text}. `raymoco shards verify {folder}` finds every such "
        f"shard; delete {folder} to have them built again."
    )


def cut_pieces(pieces: Sequence[Piece], start: int, stop: int) -> list[Piece]:
    """Rows `start` to `stop` of the pieces laid end to end."""
    cut, first = [], 0
    for piece in pieces:
        low, high = max(start - first, 0), min(stop - first, len(piece.take))
        if low < high:
            whole = high - low == len(piece.take)
            cut.append(piece if whole else piece.select(slice(low, high)))
        first += len(piece.take)
    return cut


def _read_columns(piece: Piece, names: list[str]) -> dict[str, list[Any]]:
    path = Path(piece.path)
    try:
        size = path.stat().st_size
        if size != piece.bytes:
            raise damaged(path, f"it has {size} bytes, but the manifest says {piece.bytes}")
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read_row_group(piece.group, columns=names)
        columns = {name: table.column(name).to_pylist() for name in names}
    except FileNotFoundError:
        raise damaged(path, "no such file") from None
    except (OSError, pa.ArrowException, KeyError, IndexError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None
    if table.num_rows != piece.group_rows:
        raise damaged(
            path,
            f"row group {piece.group} has {table.num_rows} rows, but the manifest says "
            f"{piece.group_rows}",
        )
    return columns


def _plain_labels(labels: list[int | None]) -> Rows:
    return np.array([HIDDEN if label is None else label for label in labels], dtype=np.int64)
