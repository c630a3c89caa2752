"""Decode slices of row groups, in their order."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import ray.data
from ray.data import DataContext

from raymoco.data.ray_tasks import BUNDLE_BYTES, BUNDLE_ROWS, quiet_context, unwrapped_errors
from raymoco.data.shards.row_groups import DecodedRows, RowGroupSlice, read_slice


def decode_slices(
    slices: Sequence[RowGroupSlice], channels: int, image_size: int
) -> Iterator[DecodedRows]:
    """Decode row-group slices in their order: in Ray Data, or in this process without Ray.

    Ray Data decodes ahead of the consumer, as far as its share of the object store allows.

    Args:
        channels: 1 or 3.
        image_size: side of the decoded images in pixels.
    Raises:
        DataError: a shard is missing or damaged; names the file.
    """
    if not slices:
        return
    if not ray.is_initialized():
        for group_slice in slices:
            yield read_slice(group_slice, channels, image_size)
        return
    bundles = [{"bundle": pickle.dumps(b)} for b in _bundles(slices, channels * image_size**2)]
    with DataContext.current(quiet_context(preserve_order=True)):
        dataset = ray.data.from_items(bundles, override_num_blocks=len(bundles)).map_batches(
            functools.partial(_decode_bundles, channels=channels, image_size=image_size),
            batch_size=None,
            batch_format="numpy",
        )
        batches = dataset.iter_batches(batch_size=None, batch_format="numpy")
    with unwrapped_errors():
        for batch in batches:
            yield DecodedRows(batch["image"], batch["label"], batch["index"])


def _bundles(slices: Sequence[RowGroupSlice], image_bytes: int) -> list[list[RowGroupSlice]]:
    """Group consecutive row-group slices into bundles that one task decodes."""
    most = max(1, min(BUNDLE_ROWS, BUNDLE_BYTES // image_bytes))
    bundles: list[list[RowGroupSlice]] = []
    room = 0
    for group_slice in slices:
        if room < len(group_slice.take):
            bundles.append([])
            room = most
        bundles[-1].append(group_slice)
        room -= len(group_slice.take)
    return bundles


def _decode_bundles(batch: Any, channels: int, image_size: int) -> Iterator[dict[str, Any]]:
    for bundle in batch["bundle"]:
        for group_slice in pickle.loads(bundle):  # safe: raymoco pickled it
            rows = read_slice(group_slice, channels, image_size)
            yield {
                "image": rows.images,
                "label": rows.labels,
                "index": np.asarray(rows.index, np.int64),
            }
