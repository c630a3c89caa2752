"""Prepare a source's shards once, in the driver, before any worker starts.

Images that fit are decoded through Ray Data into the object store, which every worker maps without
a copy. Of larger data only ids, labels and the list of row-group slices are kept, and the pixels
are streamed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray

from raymoco.config import DataConfig
from raymoco.data.codec import Pixels
from raymoco.data.loading.decode import decode_slices
from raymoco.data.ray_tasks import BUNDLE_BYTES, BUNDLE_ROWS, require_free_cpu
from raymoco.data.shards.manifest import SPLITS, Manifest, ShardSet
from raymoco.data.shards.row_groups import (
    DecodedRows,
    RowGroupSlice,
    Rows,
    read_index,
    read_slice,
    shard_slices,
)
from raymoco.data.splits import order_key
from raymoco.data.views.whole import canvas_shape
from raymoco.errors import ConfigError

CACHE_SHARE = 0.4  # of the smallest node's object store
# a single task's work takes this process a second; Ray Data's processes take longer to start
HERE_ROWS, HERE_BYTES = BUNDLE_ROWS, BUNDLE_BYTES


@dataclass(frozen=True, eq=False)
class Split:
    """One split as the driver prepared it; arrays, or references to them in the object store.

    `ids` (N,) bytes and `labels` (N,) int64 are always there, `images` (N, C, S, S) uint8 is None
    where they are streamed from `slices`. With `data.view_size` those are the centers that the
    encoder is judged on, and `wholes` and `whole_slices` the whole images that views are cut from.
    """

    rows: int
    ids: Any
    labels: Any
    images: Any
    slices: tuple[RowGroupSlice, ...]
    wholes: Any = None
    whole_slices: tuple[RowGroupSlice, ...] = ()

    def pixels(self, *, whole: bool) -> Any:
        """The images that are judged, or those that views are cut from."""
        return self.wholes if whole and self.whole_slices else self.images

    def pieces(self, *, whole: bool) -> tuple[RowGroupSlice, ...]:
        """The slices of the images that are judged, or of those that views are cut from."""
        return self.whole_slices if whole and self.whole_slices else self.slices


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """The value that the driver passes to workers: picklable, small, for every run of a sweep."""

    folder: Path
    manifest: Manifest
    image_size: int
    limit: int | None
    splits: dict[str, Split]
    view_size: int | None = None

    @property
    def channels(self) -> int:
        return self.manifest.image.channels

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    @property
    def reading(self) -> dict[str, Any]:
        """How a file became pixels: what `raymoco.using` needs to read others alike.

        `size` of `build_shards`; `image_size` px of the center square, of which the encoder may
        see the center only; `background` and `value_range` as in the manifest.
        """
        return {
            "size": self.manifest.size,
            "image_size": self.image_size,
            "background": self.manifest.background,
            "value_range": self.manifest.value_range and list(self.manifest.value_range),
        }

    @property
    def seen(self) -> int:
        """Side of what the encoder sees, in pixels."""
        return self.view_size or self.image_size

    @property
    def image_bytes(self) -> int:
        """Bytes of one decoded image that views are cut from."""
        if self.view_size is None:
            return self.channels * self.image_size**2
        height, width = canvas_shape(self.image_size)
        return self.channels * height * width

    @property
    def decoded_bytes(self) -> int:
        """Bytes of all images, decoded."""
        rows = sum(split.rows for split in self.splits.values())
        if self.view_size is None:
            return rows * self.image_bytes
        drawn = sum(split.rows for split in self.splits.values() if split.whole_slices)
        return drawn * self.image_bytes + rows * self.channels * self.view_size**2

    @property
    def streamed(self) -> bool:
        """Whether images are read from the shards in every epoch."""
        return self.splits["train"].images is None

    def rows(self, split: str) -> int:
        """The number of images in a split, after `data.limit`."""
        return self.splits[split].rows


def prepare_images(
    data: DataConfig, shards: ShardSet, budget_bytes: int | None = None
) -> PreparedImages:
    """Decode every split once into the object store, or plan streams where it does not fit.

    Call it in the driver, before workers hold the CPUs. Ray must be initialized: decoding uses Ray
    Data unless there is only work for one task.

    Args:
        budget_bytes: `cache: auto` keeps images in memory up to this; default 40 % of the smallest
            node's object store.
    Raises:
        ConfigError: the images are not squares of one size and `data.image_size` is null; or
            `cache: memory` for more than the object store holds.
        DataError: a shard is damaged, or no CPU is free to read with.
    """
    plan = _plan(data, shards)
    store = _object_store_bytes()
    budget = int(CACHE_SHARE * store) if budget_bytes is None else budget_bytes
    rows = sum(split.rows for split in plan.splits.values())
    size = plan.decoded_bytes
    if data.cache == "memory" and size > store:
        raise ConfigError(
            f"data.cache is memory, but the decoded images take {size / 2**30:.1f} GiB and the "
            f"object store of a node holds {store / 2**30:.1f} GiB; use auto or stream."
        )
    in_memory = data.cache == "memory" or (data.cache == "auto" and size <= budget)
    require_free_cpu()
    splits = {}
    for name, split in plan.splits.items():
        images = wholes = None
        if in_memory:
            small = rows <= HERE_ROWS and size <= HERE_BYTES
            read = _read_here if small else decode_slices
            images = ray.put(_fill(read, split.slices, split, plan))
            if split.whole_slices:
                wholes = ray.put(_fill(read, split.whole_slices, split, plan))
        splits[name] = replace(
            split,
            ids=ray.put(split.ids),
            labels=ray.put(split.labels),
            images=images,
            wholes=wholes,
        )
    return replace(plan, splits=splits)


def load_images(data: DataConfig, shards: ShardSet) -> PreparedImages:
    """Prepare images as `prepare_images` does, but in this process's memory, without Ray.

    They are streamed for `cache: stream`, and for `auto` where they would take more than 40 % of
    the free memory.

    Raises:
        ConfigError, DataError: as `prepare_images`.
    """
    plan = _plan(data, shards)
    size = plan.decoded_bytes
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if data.cache == "stream" or (data.cache == "auto" and size > CACHE_SHARE * free):
        return plan
    splits = {}
    for name, split in plan.splits.items():
        images = _fill(_read_here, split.slices, split, plan)
        images.flags.writeable = False
        wholes = None
        if split.whole_slices:
            wholes = _fill(_read_here, split.whole_slices, split, plan)
            wholes.flags.writeable = False
        splits[name] = replace(split, images=images, wholes=wholes)
    return replace(plan, splits=splits)


def fetch(value: Any) -> Any:
    """Return an array; from the object store it is read-only and not a copy."""
    return ray.get(value) if isinstance(value, ray.ObjectRef) else value


def _plan(data: DataConfig, shards: ShardSet) -> PreparedImages:
    """Read ids, labels and row-group slices of every split, but no images."""
    size = data.image_size or shards.image_size
    if size is None:
        image = shards.manifest.image
        found = (
            f"all of {image.height}x{image.width} pixels"
            if image.uniform
            else f"of different sizes, from {image.height}x{image.width} pixels up"
        )
        raise ConfigError(
            f"data.image_size is null, but the images in {shards.folder} are {found}: set it "
            "to the side of the square that each is resized and cut to."
        )
    if data.view_size is not None and data.view_size > size:
        raise ConfigError(
            f"data.view_size is {data.view_size}, but must be at most the side of the images, "
            f"{size}."
        )
    splits = {}
    for name in SPLITS:
        limit = data.limit if name == "train" else None
        split = _plan_split(shards, name, limit)
        if data.view_size is not None:
            # nothing is cut from test images at random
            drawn = split.slices if name != "test" else ()
            split = replace(
                split,
                slices=tuple(replace(some, seen=data.view_size) for some in split.slices),
                whole_slices=tuple(replace(some, whole=True) for some in drawn),
            )
        splits[name] = split
    return PreparedImages(shards.folder, shards.manifest, size, data.limit, splits, data.view_size)


def _plan_split(shards: ShardSet, name: str, limit: int | None) -> Split:
    ids: list[str] = []
    labels: list[Rows] = [np.empty(0, np.int64)]
    slices: list[RowGroupSlice] = []
    for shard in shards.shards(name):
        more, theirs = read_index(shards.folder, shard)
        for group_slice in shard_slices(shards.folder, shard):
            slices.append(replace(group_slice, index=group_slice.index + len(ids)))
        ids += more
        labels.append(theirs)
    true = np.concatenate(labels)
    if limit is not None and limit < len(ids):
        keys = np.array([order_key(image_id) for image_id in ids])
        keep = np.zeros(len(ids), dtype=bool)
        keep[np.argsort(keys, kind="stable")[:limit]] = True
        number = np.cumsum(keep) - 1
        kept = [group_slice.select(keep[group_slice.index]) for group_slice in slices]
        slices = [replace(some, index=number[some.index]) for some in kept if len(some.take)]
        ids, true = [ids[row] for row in np.flatnonzero(keep)], true[keep]
    encoded = np.array([image_id.encode() for image_id in ids], dtype=bytes)
    return Split(len(ids), encoded, true, None, tuple(slices))


def _fill(
    read: Callable[[Sequence[RowGroupSlice], int, int], Iterable[DecodedRows]],
    slices: Sequence[RowGroupSlice],
    split: Split,
    plan: PreparedImages,
) -> Pixels:
    shape = slices[0].shape(plan.image_size) if slices else (plan.seen, plan.seen)
    images = np.empty((split.rows, plan.channels, *shape), np.uint8)
    for rows in read(slices, plan.channels, plan.image_size):
        images[rows.index] = rows.images
    return images


def _read_here(
    slices: Sequence[RowGroupSlice], channels: int, image_size: int
) -> Iterator[DecodedRows]:
    return (read_slice(group_slice, channels, image_size) for group_slice in slices)


def _object_store_bytes() -> int:
    """The object store of the smallest node: every node maps its own copy of the images."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]  # Ray's
    return int(
        min((r["object_store_memory"] for r in nodes if "object_store_memory" in r), default=0)
    )
