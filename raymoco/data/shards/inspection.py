"""Inspect shards: verify them, count their images, and draw images beside their views."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from raymoco.config import DataConfig
from raymoco.data.codec import Pixels, decode_to
from raymoco.data.shards.manifest import SPLITS, Manifest, ShardSet, SplitCounts, load_shards
from raymoco.data.shards.row_groups import read_columns, shard_slices

PER_CLASS = 3
MOST_CLASSES = 12
MOST_NAMED = 20
TILE = 64  # least side of an image on the contact sheet, in pixels
GAP = 4
NAMES = 130  # width of the class names, in pixels
HEADER = 20
MOST_LETTERS = 20  # of a class name
HEADINGS = ("image", "view a", "view b")


@dataclass(frozen=True)
class ShardReport:
    """The content of `raymoco shards inspect`; `label_ratio` is the labeled share of `train`."""

    folder: Path
    manifest: Manifest
    counts: dict[str, SplitCounts]
    shards: dict[str, int]
    bytes: dict[str, int]
    label_ratio: float

    def lines(self) -> list[tuple[str, str]]:
        """The rows of a table: a name and a text each."""
        manifest, image = self.manifest, self.manifest.image
        side = f"{image.height} x {image.width} pixels"
        size = side if image.uniform else f"of different sizes, from {side} up"
        resized = f", resized to {manifest.size} at the short side" if manifest.size else ""
        found = [
            ("folder", str(self.folder)),
            ("source", manifest.source + (f", {manifest.root}" if manifest.root else "")),
            ("built", manifest.created),
            ("images", f"{'color' if image.channels == 3 else 'gray'}, {size}{resized}"),
            ("mean, std", f"{_numbers(manifest.mean)}, {_numbers(manifest.std)}"),
        ]
        for split, counts in self.counts.items():
            text = (
                f"{counts.rows:,} images ({counts.labelled:,} labeled, {counts.unlabelled:,} not) "
                f"in {self.shards[split]} shard{'s' * (self.shards[split] != 1)}, "
                f"{self.bytes[split] / 2**20:.1f} MiB"
            )
            found.append((split, text))
        found.append(("label ratio", f"{self.label_ratio:.1%} of train"))
        per_class = self.counts["train"].per_class
        named = [f"{name} {count:,}" for name, count in per_class.items()]
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        found.append(("classes", f"{len(named)}: {', '.join(named[:MOST_NAMED])}{more}"))
        for remark in manifest.remarks:
            kind, _, text = remark.line().partition(": ")
            found.append((kind, text))
        if manifest.skipped and not manifest.remarks:  # built by 0.1
            some = ", ".join(manifest.skipped[:MOST_NAMED])
            more = f" and {len(manifest.skipped) - MOST_NAMED:,} more"
            more = more if len(manifest.skipped) > MOST_NAMED else ""
            found.append(("left out", f"{len(manifest.skipped):,} corrupt: {some}{more}"))
        return found


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def verify_shards(folder: Path) -> list[str]:
    """Compare every shard with its SHA-256; return a sentence for each shard that differs.

    Raises:
        DataError: the manifest is missing or cannot be used, or a shard is missing.
    """
    shards = load_shards(folder)
    problems = []
    for shard in shards.manifest.shards:
        path = shards.folder / shard.path
        size = path.stat().st_size
        if size != shard.bytes:
            problems.append(f"{path}: has {size} bytes, but the manifest says {shard.bytes}.")
            continue
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != shard.sha256:
            problems.append(f"{path}: its content differs from what was built (SHA-256).")
    return problems


def describe_shards(shards: ShardSet) -> ShardReport:
    """Read counts and sizes per split from the manifest."""
    train = shards.manifest.counts["train"]
    return ShardReport(
        folder=shards.folder,
        manifest=shards.manifest,
        counts={split: shards.manifest.counts[split] for split in SPLITS},
        shards={split: len(shards.shards(split)) for split in SPLITS},
        bytes={split: sum(shard.bytes for shard in shards.shards(split)) for split in SPLITS},
        label_ratio=train.labelled / train.rows,
    )


def contact_sheet(
    shards: ShardSet, path: Path, views: str | dict[str, Any] = "auto", seed: int = 0
) -> None:
    """Write a PNG with some training images of each class, each beside two views of it.

    Args:
        path: where the PNG goes.
        views: as in `data.views`.
        seed: of the views' random numbers; torch's global generator is restored.
    Raises:
        ConfigError: the views do not suit the images.
    """
    # torch takes seconds to import, and counting does not need it
    import torch

    from raymoco.data.views.build import build_views, resolve_views

    manifest = shards.manifest
    size = shards.image_size or min(manifest.image.height, manifest.image.width, 224)
    rows = _some_of_each_class(shards, size)
    two_views = build_views(
        resolve_views(DataConfig(views=views).views, manifest.source, shards.channels),
        channels=shards.channels,
        image_size=size,
        mean=manifest.mean,
        std=manifest.std,
    )
    everything = np.stack([pixels for _, row in rows for pixels in row])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pair = [
            two_views.to_pixels(view).numpy() for view in two_views(torch.from_numpy(everything))
        ]
    zoom = max(1, TILE // size)
    tile, number = size * zoom, 0
    line = tile + GAP
    block = 3 * line + 2 * GAP
    shape = (NAMES + PER_CLASS * block, HEADER + len(rows) * line)
    sheet = Image.new("RGB", shape, "white")
    draw = ImageDraw.Draw(sheet)
    shown, all_classes = sum(name is not None for name, _ in rows), len(shards.classes)
    title = f"{shown} of {all_classes} classes" if shown < all_classes else manifest.source
    draw.text((GAP, GAP), title, fill="black")
    for x in range(PER_CLASS):
        for shift, heading in enumerate(HEADINGS):
            draw.text((NAMES + x * block + shift * line, GAP), heading, fill="black")
    counts = manifest.counts["train"]
    for y, (name, row) in enumerate(rows):
        top = HEADER + y * line
        count = counts.unlabelled if name is None else counts.per_class[name]
        text = f"{'(no label)' if name is None else name[:MOST_LETTERS]}\n{count:,}"
        draw.text((GAP, top + tile // 2 - 12), text, fill="black")
        for x in range(len(row)):
            left = NAMES + x * block
            for shift, pixels in enumerate((everything[number], pair[0][number], pair[1][number])):
                sheet.paste(_tile(pixels, tile), (left + shift * line, top))
            number += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")


def _some_of_each_class(shards: ShardSet, size: int) -> list[tuple[str | None, list[Pixels]]]:
    """Class names and up to PER_CLASS images of each; images without a label (None) come last."""
    found: dict[str | None, list[Pixels]] = {name: [] for name in shards.classes[:MOST_CLASSES]}
    found[None] = []
    for shard in shards.shards("train"):
        for group_slice in shard_slices(shards.folder, shard):
            wanted = list(found.values())[:-1] if shard.labelled else [found[None]]
            if all(len(row) >= PER_CLASS for row in wanted):
                break
            columns = read_columns(group_slice, ["image", "label"])
            for encoded, label in zip(columns["image"], columns["label"], strict=True):
                name = None if label is None else shards.classes[label]
                if name in found and len(found[name]) < PER_CLASS:
                    found[name].append(decode_to(encoded, shards.channels, size))
    return [(name, row) for name, row in found.items() if row]


def _tile(pixels: Pixels, side: int) -> Image.Image:
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    return image.resize((side, side), Image.Resampling.NEAREST)
