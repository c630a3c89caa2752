"""Slices of row groups: the unit that one read takes and that workers share.

A slice is a row group or some of its rows. Permuting slices instead of whole shards mixes labeled
and unlabeled shards, and lets workers share any number of shards evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raymoco.data.codec import Pixels, decode_about, decode_to
from raymoco.data.shards.manifest import CONTENT_KEY, ShardInfo
from raymoco.data.views.whole import canvas_shape, canvas_side, to_canvas
from raymoco.errors import DataError

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RowGroupSlice:
    """Some rows of one row group of one shard.

    `bytes` and `content` are the file's, see `ShardInfo`; `take` are rows within the group, `index`
    (as long) the rows' numbers within their split. Of each image the center square is decoded; of
    that only the center of side `seen`, where it is set; or the `whole` image, as a canvas.
    """

    path: str
    bytes: int
    content: str
    group: int
    group_rows: int
    take: Rows
    index: Rows
    seen: int | None = None
    whole: bool = False

    def shape(self, image_size: int) -> tuple[int, int]:
        """Height and width of what is decoded."""
        if self.whole:
            return canvas_shape(image_size)
        return (self.seen or image_size,) * 2

    def select(self, chosen: NDArray[np.bool_] | slice) -> RowGroupSlice:
        """The slice with only the chosen rows."""
        return replace(self, take=self.take[chosen], index=self.index[chosen])


@dataclass(frozen=True, eq=False)
class DecodedRows:
    """Decoded rows: images (n, C, S, S) uint8, true labels (n,) and row numbers (n,) int64."""

    images: Pixels
    labels: Rows
    index: Rows

    def rows(self, start: int, stop: int) -> DecodedRows:
        """Some consecutive rows, without a copy."""
        return DecodedRows(self.images[start:stop], self.labels[start:stop], self.index[start:stop])

    def select(self, chosen: NDArray[np.bool_]) -> DecodedRows:
        """The chosen rows."""
        return DecodedRows(self.images[chosen], self.labels[chosen], self.index[chosen])


def shard_slices(folder: Path, shard: ShardInfo) -> list[RowGroupSlice]:
    """All rows of a shard as one slice per row group, numbered from 0."""
    slices = []
    for group, first in enumerate(range(0, shard.rows, shard.rows_per_group)):
        rows = np.arange(min(shard.rows_per_group, shard.rows - first))
        path = str(folder / shard.path)
        slices.append(
            RowGroupSlice(path, shard.bytes, shard.content, group, len(rows), rows, rows + first)
        )
    return slices


def read_index(folder: Path, shard: ShardInfo) -> tuple[list[str], Rows]:
    """Read ids and true labels (-1 = none) of a shard, but not its images.

    Raises:
        DataError: the shard is damaged; names the file.
    """
    path = folder / shard.path
    with _opened(path, shard.bytes, shard.content) as file:
        columns = file.read(columns=["id", "label"]).to_pydict()
    if len(columns["id"]) != shard.rows:
        raise damaged(path, f"it has {len(columns['id'])} rows, but the manifest says {shard.rows}")
    return columns["id"], _plain_labels(columns["label"])


def read_slice(group_slice: RowGroupSlice, channels: int, image_size: int) -> DecodedRows:
    """Read and decode the rows of a slice.

    Raises:
        DataError: the shard is missing, cut off or corrupt, never wrong pixels; names the file.
    """
    columns = read_columns(group_slice, ["id", "image", "label"])
    shape = group_slice.shape(image_size)
    images = np.empty((len(group_slice.take), channels, *shape), np.uint8)
    for place, encoded in enumerate(columns["image"]):
        try:
            _decode_into(images[place], encoded, channels, image_size, group_slice)
        except DataError as error:
            raise damaged(group_slice.path, f"{columns['id'][place]} is {error}") from None
    return DecodedRows(images, _plain_labels(columns["label"]), group_slice.index)


def _decode_into(
    out: Pixels, encoded: bytes, channels: int, image_size: int, group_slice: RowGroupSlice
) -> None:
    """Decode what a slice wants of one image."""
    if group_slice.whole:
        out[:] = to_canvas(decode_about(encoded, canvas_side(image_size)), channels, image_size)
    elif group_slice.seen is None:
        decode_to(encoded, channels, image_size, out)
    else:
        first = (image_size - group_slice.seen) // 2
        last = first + group_slice.seen
        out[:] = decode_to(encoded, channels, image_size)[:, first:last, first:last]


def read_columns(group_slice: RowGroupSlice, names: list[str]) -> dict[str, list[Any]]:
    """Read columns of a slice as they are stored: `id`, `image` (encoded), `label` or None.

    Raises:
        DataError: the shard is missing, cut off, corrupt or another one; names the file.
    """
    path = Path(group_slice.path)
    with _opened(path, group_slice.bytes, group_slice.content) as file:
        table = file.read_row_group(group_slice.group, columns=names)
        if table.num_rows != group_slice.group_rows:
            raise damaged(
                path,
                f"row group {group_slice.group} has {table.num_rows} rows, but the manifest says "
                f"{group_slice.group_rows}",
            )
        if len(group_slice.take) < table.num_rows:
            table = table.take(pa.array(group_slice.take))
        return {name: table.column(name).to_pylist() for name in names}


def damaged(path: str | Path, reason: object) -> DataError:
    """The error for a shard that differs from what was built; it says what to do."""
    folder = Path(path).parent.parent
    text = str(reason).strip().rstrip(".")
    return DataError(
        f"{path}: the shard is damaged: {text}. `raymoco shards verify {folder}` finds every such "
        f"shard; delete {folder} to have them built again."
    )


def cut_slices(slices: Sequence[RowGroupSlice], start: int, stop: int) -> list[RowGroupSlice]:
    """Rows `start` to `stop` of the concatenated slices."""
    cut, first = [], 0
    for group_slice in slices:
        low, high = max(start - first, 0), min(stop - first, len(group_slice.take))
        if low < high:
            whole = high - low == len(group_slice.take)
            cut.append(group_slice if whole else group_slice.select(slice(low, high)))
        first += len(group_slice.take)
    return cut


@contextmanager
def _opened(path: Path, size: int, content: str) -> Iterator[pq.ParquetFile]:
    """Open a shard and check that it is the one that was built; every error names the file."""
    try:
        found = path.stat().st_size
        if found != size:
            raise damaged(path, f"it has {found} bytes, but the manifest says {size}")
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if (file.metadata.metadata or {}).get(CONTENT_KEY) != content.encode():
                raise damaged(path, "another file has taken its place")
            yield file
    except FileNotFoundError:
        raise damaged(path, "no such file") from None
    except (OSError, pa.ArrowException, KeyError, IndexError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None


def _plain_labels(labels: list[int | None]) -> Rows:
    return np.array([HIDDEN if label is None else label for label in labels], dtype=np.int64)


HIDDEN = -1
