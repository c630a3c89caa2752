"""Images into a step: from memory, through Ray Data, and by torchvision's folder and DataLoader."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode

from benchmarks.photographs import write_folder
from benchmarks.tables import Table
from benchmarks.timing import Timing
from raymoco.config import DataConfig, ScaleConfig
from raymoco.data.loading.loader import open_images
from raymoco.data.loading.prepare import prepare_images
from raymoco.data.loading.train_plan import Reader
from raymoco.data.shards.ensure import ensure_shards
from raymoco.data.shards.manifest import ShardSet
from raymoco.engine.cluster import connect

BATCH = 128
PEER = "ImageFolder, DataLoader with 2 workers"
BLOCK = 4  # epochs one after another, so that nothing of one way is done in the time of the other


def run(quick: bool) -> list[Table]:
    """Small gray images and photographs; starts a Ray of its own."""
    os.environ.pop("RAY_ADDRESS", None)
    scale = ScaleConfig(cpus_per_worker=0.5)
    with tempfile.TemporaryDirectory() as folder, connect(scale, Path(folder)):
        place = Path(folder)
        small = DataConfig(source="fashion_mnist", limit=4096 if quick else 16384)
        large = DataConfig(source="folder", root=str(place / "photographs"), image_size=224)
        write_folder(place / "photographs", 640 if quick else 2560, 256)
        write_pngs(place / "pngs", place / "out", small)
        return [
            compare("Fashion-MNIST, 28 px, PNG", small, place / "out", place / "pngs", quick),
            compare(
                "Photographs, 256 px JPEG to 224 px",
                large,
                place / "out",
                place / "photographs" / "train",
                quick,
            ),
        ]


def compare(title: str, data: DataConfig, output: Path, folder: Path, quick: bool) -> Table:
    """Blocks of epochs of each way in turns; the first of each is start-up and shown apart."""
    shards = ensure_shards(data, output)
    size = 28 if data.image_size is None else data.image_size
    ways = {
        "in memory": _epochs(data, shards, "memory"),
        "streamed by Ray Data": _epochs(data, shards, "stream"),
        PEER: _folder(folder, size),
    }
    if size != 28:
        ways["the same, resized bilinearly (its default)"] = _folder(folder, size, bilinear=True)
    first: dict[str, float] = {}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(3 if quick else 5):
        for name, epoch in ways.items():
            started = time.perf_counter()
            images = epoch()
            seconds = time.perf_counter() - started
            if number == 0:
                first[name] = seconds
            else:
                rates[name].append(images / seconds)
    table = Table(
        title,
        ["", "first block s", "images/s", "min to max", "this / ImageFolder"],
    )
    peer = Timing(tuple(rates[PEER]))
    for name, found in rates.items():
        spread = f"{min(found):.0f} to {max(found):.0f}"
        ratio = Timing(tuple(found)).over(peer)
        table.add(name, first[name], statistics.median(found), spread, ratio)
    table.notes.append(
        f"{BLOCK} epochs at a time, decoded and in batches, no views; every way has the whole "
        f"machine, which has {os.cpu_count()} cores ({processor()})."
    )
    return table


def write_pngs(folder: Path, output: Path, data: DataConfig) -> None:
    """The training images of a source as files, for the peer to read."""
    shards = ensure_shards(data, output)
    handle = prepare_images(data, shards)
    images = open_images(handle, data, Reader(seed=0, batch_size=BATCH))
    for batch in images.split("train", 1024):
        for pixels, number, label in zip(batch.images, batch.index, batch.labels, strict=True):
            place = folder / str(int(label))
            place.mkdir(parents=True, exist_ok=True)
            transforms.functional.to_pil_image(pixels).save(place / f"{int(number)}.png")


def processor() -> str:
    """The name of the cores; Linux says it."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":", 1)[1].strip() for line in info.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


def _epochs(data: DataConfig, shards: ShardSet, cache: str) -> Callable[[], int]:
    chosen = data.model_copy(update={"cache": cache})
    handle = prepare_images(chosen, shards)
    # nothing is read ahead beyond a block, in the time of the next way
    reader = Reader(seed=0, batch_size=BATCH, epochs=BLOCK)

    def block() -> int:
        images = open_images(handle, chosen, reader)
        return sum(len(batch.images) for epoch in range(BLOCK) for batch in images.epoch(epoch))

    return block


def _folder(folder: Path, size: int, *, bilinear: bool = False) -> Callable[[], int]:
    # bicubic gives the pixels that raymoco gives, up to rounding
    kind = InterpolationMode.BILINEAR if bilinear else InterpolationMode.BICUBIC
    operations = [transforms.Resize(size, kind), transforms.CenterCrop(size)]
    if size == 28:
        operations = [transforms.Grayscale()]
    decode = transforms.Compose([*operations, np.array])
    loader = DataLoader(
        ImageFolder(str(folder), decode),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=2,
        persistent_workers=True,
    )

    def block() -> int:
        return sum(BATCH for _ in range(BLOCK) for _ in loader)

    return block
