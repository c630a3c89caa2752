"""The manifest of a folder of shards, and how it is read."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from os.path import exists, isfile  # Path's own raise where a name is too long
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from raymoco.data.account import Remark
from raymoco.errors import DataError
from raymoco.files import absolute
from raymoco.reading import read_text, shown

SCHEMA_VERSION = 2
RULES = 3  # of taking, splitting and reading files; shards of older rules are used and told
MANIFEST = "manifest.json"
SPLITS = ("train", "eval", "test")
CONTENT_KEY = b"raymoco.content"  # in a shard's metadata: distinguishes it from any other shard


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitCounts(_Frozen):
    """Counts of a split: images with a label, without one, and of each class."""

    labelled: int
    unlabelled: int
    per_class: dict[str, int]

    @property
    def rows(self) -> int:
        return self.labelled + self.unlabelled


class ImageInfo(_Frozen):
    """Channels (1 or 3), and height and width in pixels: the smallest, if not all are `uniform`."""

    channels: int
    height: int
    width: int
    uniform: bool


class ShardInfo(_Frozen):
    """One Parquet file: its path below the folder, and what it must contain.

    `sha256` is the hash of the file, `content` that of ids, images and labels. The file contains
    the latter too, so that every read recognizes a wrong shard without hashing it.
    """

    path: str
    split: str
    labelled: bool
    rows: int
    rows_per_group: int
    bytes: int
    sha256: str
    content: str


class Manifest(_Frozen):
    """The content of manifest.json.

    `mean` and `std` are per channel, over `train`, in 0-1; `size` is the short side in pixels that
    larger images were resized to, null if none was resized; `skipped` are ids of corrupt images.
    `remarks` says what was passed over, left out or changed; `rules` is the version of the rules by
    which files are taken, split and read (1: those of raymoco 0.1; before 3, transparent parts were
    not filled and 16 bits were cut); `background` is behind transparent parts, null before 3;
    `value_range` became 0 to 255 in images of more than 8 bits, null if there are none.
    """

    schema_version: int
    source: str
    root: str | None
    fingerprint: str
    classes: tuple[str, ...]
    counts: dict[str, SplitCounts]
    image: ImageInfo
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int | None
    shards: tuple[ShardInfo, ...]
    skipped: tuple[str, ...]
    created: str
    remarks: tuple[Remark, ...] = ()
    rules: int = 1
    background: str | None = None
    value_range: tuple[float, float] | None = None

    def rows(self, split: str) -> int:
        """The number of images in a split, labeled or not."""
        return self.counts[split].rows

    @model_validator(mode="after")
    def _fits_together(self) -> Manifest:
        """What a build always writes: a manifest without it was changed."""
        if set(self.counts) != set(SPLITS):
            raise ValueError(f"counts must be of {', '.join(SPLITS)}")
        for split, counts in self.counts.items():
            if set(counts.per_class) != set(self.classes):
                raise ValueError(f"counts.{split}.per_class must be of every class")
            if min(counts.labelled, counts.unlabelled, *counts.per_class.values()) < 0:
                raise ValueError(f"counts.{split} has numbers below 0")
            for labelled, rows in ((True, counts.labelled), (False, counts.unlabelled)):
                mine = [s.rows for s in self.shards if (s.split, s.labelled) == (split, labelled)]
                if sum(mine) != rows:
                    raise ValueError(f"counts.{split} has {rows} images, its shards {sum(mine)}")
        image, channels = self.image, self.image.channels
        if channels not in (1, 3) or len(self.mean) != channels or len(self.std) != channels:
            raise ValueError("image.channels must be 1 or 3, and as many are mean and std")
        if image.height < 1 or image.width < 1 or not self.counts["train"].rows:
            raise ValueError("there must be images to train on, of at least a pixel")
        if any(shard.rows < 0 or shard.rows_per_group < 1 for shard in self.shards):
            raise ValueError("a shard cannot have so few rows")
        if not all(math.isfinite(x) and x >= 0 for x in (*self.mean, *self.std)):
            raise ValueError("mean and std must be numbers from 0")
        return self

    @property
    def corrupt(self) -> int:
        """The number of files that claim to be images and cannot be read."""
        remarked = sum(remark.count for remark in self.remarks if remark.kind == "corrupt")
        return max(remarked, len(self.skipped))  # older manifests have no remarks


@dataclass(frozen=True)
class ShardSet:
    """A folder of shards and its manifest, checked against each other."""

    folder: Path
    manifest: Manifest

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    @property
    def channels(self) -> int:
        return self.manifest.image.channels

    @property
    def image_size(self) -> int | None:
        """Side length in pixels if all images are squares of one size, else None."""
        image = self.manifest.image
        return image.height if image.uniform and image.height == image.width else None

    def rows(self, split: str) -> int:
        """The number of images in a split, labeled or not."""
        return self.manifest.rows(split)

    def shards(self, split: str) -> list[ShardInfo]:
        """The shards of a split, labeled ones first, each kind in the order of its numbers."""
        return [shard for shard in self.manifest.shards if shard.split == split]


def load_shards(folder: Path) -> ShardSet:
    """Open a folder of shards without reading their contents; `verify_shards` reads them.

    Raises:
        DataError: no manifest, another schema version, or a shard is missing; names the file.
    """
    folder = absolute(folder)
    path = folder / MANIFEST
    again = f"delete {folder} to have the shards built again"
    try:
        if not exists(path):
            raise DataError(
                f"{shown(path)}: no such file, so {shown(folder)} holds no shards; `raymoco shards "
                "build` makes some."
            )
        content = json.loads(read_text(path, DataError))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}; {again}.") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema_version is {version}, but must be {SCHEMA_VERSION}; {again}."
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = "".join(f"{step}." for step in first["loc"]).rstrip(".")
        said = first["msg"].removeprefix("Value error, ")
        raise DataError(f"{path}: {key}{': ' if key else ''}{said}; {again}.") from None
    missing = [shard.path for shard in manifest.shards if not isfile(folder / shard.path)]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{folder / missing[0]}{others}: no such shard; {again}.")
    return ShardSet(folder, manifest)
