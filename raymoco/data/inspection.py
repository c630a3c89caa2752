"""Looking at shards: are they whole, what is in them, and what do the views make of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from raymoco.config import DataConfig
from raymoco.data.codec import Pixels, decode_to
from raymoco.data.manifest import SPLITS, Manifest, ShardSet, SplitCounts, load_shards

PER_CLASS = 3
MOST_CLASSES = 12
TILE = 64  # pixels a side of an image on the contact sheet, at least
GAP = 4


@dataclass(frozen=True)
class ShardReport:
    """What `raymoco shards inspect` shows; `label_ratio` is the labelled share of `train`."""

    folder: Path
    manifest: Manifest
    counts: dict[str, SplitCounts]
    shards: dict[str, int]
    bytes: dict[str, int]
    label_ratio: float


def verify_shards(folder: Path) -> list[str]:
    """Compare every shard with its SHA-256; a sentence for each one that differs, [] if none does.

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
    """Counts and sizes per split, from the manifest alone."""
    train = shards.manifest.counts["train"]
    return ShardReport(
        folder=shards.folder,
        manifest=shards.manifest,
        counts={split: shards.manifest.counts[split] for split in SPLITS},
        shards={split: len(shards.shards(split)) for split in SPLITS},
        bytes={split: sum(shard.bytes for shard in shards.shards(split)) for split in SPLITS},
        label_ratio=train.labelled / train.rows,
    )


def contact_sheet(shards: ShardSet, path: Path, views: str = "auto", seed: int = 0) -> None:
    """Write a PNG with some training images of each class, each beside its two views.

    Args:
        path: where the PNG goes.
        views: the recipe, as in `data.views`.
        seed: of the views' random numbers; torch's global generator is left as it was.
    Raises:
        ConfigError: the recipe does not suit the images.
    """
    # torch and kornia take seconds to import, and inspecting counts needs neither
    import torch

    from raymoco.data.views import TwoViews, resolve_recipe

    manifest = shards.manifest
    size = shards.image_size or min(manifest.image.height, manifest.image.width, 224)
    rows = _some_of_each_class(shards, size)
    recipe = resolve_recipe(DataConfig(views=views).views, manifest.source, shards.channels)  # type: ignore[arg-type]  # pydantic checks it
    two_views = TwoViews(recipe, shards.channels, size, manifest.mean, manifest.std)
    everything = np.stack([pixels for _, row in rows for pixels in row])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pair = [
            two_views.to_pixels(view).numpy() for view in two_views(torch.from_numpy(everything))
        ]
    zoom = max(1, TILE // size)
    tile, number = size * zoom, 0
    line, names = tile + GAP, 110
    sheet = Image.new("RGB", (names + PER_CLASS * (3 * line + 2 * GAP), len(rows) * line), "white")
    draw = ImageDraw.Draw(sheet)
    for y, (name, row) in enumerate(rows):
        draw.text((GAP, y * line + tile // 2 - 6), name[:17], fill="black")
        for x in range(len(row)):
            left = names + x * (3 * line + 2 * GAP)
            for shift, pixels in enumerate((everything[number], pair[0][number], pair[1][number])):
                sheet.paste(_tile(pixels, tile), (left + shift * line, y * line))
            number += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")


def _some_of_each_class(shards: ShardSet, size: int) -> list[tuple[str, list[Pixels]]]:
    """Class names and up to PER_CLASS images of each; images without a label come last."""
    found: dict[str, list[Pixels]] = {name: [] for name in shards.classes[:MOST_CLASSES]}
    found["(no label)"] = []
    for shard in shards.shards("train"):
        file = pq.ParquetFile(shards.folder / shard.path)
        for group in range(file.num_row_groups):
            if shard.labelled and all(len(row) >= PER_CLASS for row in list(found.values())[:-1]):
                break
            columns = file.read_row_group(group, columns=["image", "label"]).to_pydict()
            for encoded, label in zip(columns["image"], columns["label"], strict=True):
                name = "(no label)" if label is None else shards.classes[label]
                if len(found.get(name, ())) < PER_CLASS and name in found:
                    found[name].append(decode_to(encoded, shards.channels, size))
            if not shard.labelled:
                break
    return [(name, row) for name, row in found.items() if row]


def _tile(pixels: Pixels, side: int) -> Image.Image:
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    return image.resize((side, side), Image.Resampling.NEAREST)
