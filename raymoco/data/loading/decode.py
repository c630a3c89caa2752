"""Decode slices of row groups, in their order."""

from __future__ import annotations

import functools
import pickle
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import ray.data
from ray.data import DataContext

from raymoco.data.loading.shuffle_buffer import Ahead
from raymoco.data.ray_tasks import BUNDLE_BYTES, BUNDLE_ROWS, quiet_context, unwrapped_errors
from raymoco.data.shards.row_groups import DecodedRows, RowGroupSlice, read_slice

CHUNK_BYTES = 256 * 2**20
CHUNK_SHARE = 1 / 16  # of the object store: several workers may read, each two chunks at a time
CHUNKS_AHEAD = 2


def decode_slices(
    slices: Sequence[RowGroupSlice], channels: int, image_size: int
) -> Iterator[DecodedRows]:
    """Decode row-group slices in their order: in Ray Data, or in this process without Ray.

    Ray Data decodes up to two chunks of at most 256 MiB ahead of the consumer, each in a pipeline
    of its own. All that a pipeline decodes is fetched at once, so none holds a CPU while it waits.

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
    height, width = slices[0].shape(image_size)
    image_bytes = channels * height * width
    bundles = _bundles(slices, image_bytes)
    running: deque[Ahead[DecodedRows]] = deque()
    try:
        for chunk in _chunks(bundles, image_bytes):
            running.append(Ahead(_decode_chunk(chunk, channels, image_size), 0))
            if len(running) == CHUNKS_AHEAD:
                yield from running[0]
                running.popleft()
        while running:
            yield from running[0]
            running.popleft()
    finally:
        for ahead in running:
            ahead.close()


def _decode_chunk(
    bundles: Sequence[list[RowGroupSlice]], channels: int, image_size: int
) -> Iterator[DecodedRows]:
    items = [{"bundle": pickle.dumps(bundle)} for bundle in bundles]
    context = quiet_context(preserve_order=True)
    # its account of CPUs and memory starts a second late, and lets a CPU wait between two tasks:
    # half of the time was lost; a chunk is small enough to be decoded without it
    context.op_resource_reservation_enabled = False
    with DataContext.current(context):
        dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            functools.partial(_decode_bundles, channels=channels, image_size=image_size),
            batch_size=None,
            batch_format="numpy",
        )
        batches = dataset.iter_batches(batch_size=None, batch_format="numpy")
    with unwrapped_errors():
        for batch in batches:
            yield DecodedRows(batch["image"], batch["label"], batch["index"])


def _chunks(
    bundles: Sequence[list[RowGroupSlice]], image_bytes: int
) -> Iterator[list[list[RowGroupSlice]]]:
    """Consecutive bundles that decode to a small share of the object store."""
    store = ray.cluster_resources().get("object_store_memory", 0)  # type: ignore[no-untyped-call]
    most = min(CHUNK_BYTES, store * CHUNK_SHARE)
    chunk: list[list[RowGroupSlice]] = []
    held = 0
    for bundle in bundles:
        size = image_bytes * sum(len(group_slice.take) for group_slice in bundle)
        if chunk and held + size > most:
            yield chunk
            chunk, held = [], 0
        chunk.append(bundle)
        held += size
    yield chunk


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
