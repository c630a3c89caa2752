"""Inspect shards: verify them, and count their images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from raymoco.data.shards.manifest import SPLITS, Manifest, ShardSet, SplitCounts, load_shards

MOST_NAMED = 20


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
        found.append(("classes", f"{len(manifest.classes):,}"))
        for remark in manifest.remarks:
            kind, _, text = remark.line().partition(": ")
            found.append((kind, text))
        if manifest.skipped and not manifest.remarks:  # built by 0.1
            some = ", ".join(manifest.skipped[:MOST_NAMED])
            more = f" and {len(manifest.skipped) - MOST_NAMED:,} more"
            more = more if len(manifest.skipped) > MOST_NAMED else ""
            found.append(("left out", f"{len(manifest.skipped):,} corrupt: {some}{more}"))
        return found

    def classes(self) -> list[tuple[str, dict[str, int]]]:
        """The classes and their images in each split, the largest in `train` first."""
        every = [
            (name, {split: counts.per_class[name] for split, counts in self.counts.items()})
            for name in self.manifest.classes
        ]
        return sorted(every, key=lambda found: -found[1]["train"])


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
