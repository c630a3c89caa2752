"""How the cost of a step grows: with the side of the images, and with workers on one machine."""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path

import torch

from benchmarks.step import THREADS, bare
from benchmarks.tables import Table
from benchmarks.timing import interleaved
from raymoco.config import load_run_config
from raymoco.data.views.two_views import ColorViews
from raymoco.engine.metrics_csv import read_metrics
from raymoco.engine.train import train
from raymoco.ssl import MoCo, build_method

BATCH = 64


def run(quick: bool) -> list[Table]:
    """Both tables; the second needs Fashion-MNIST, and starts Ray five times."""
    torch.set_num_threads(THREADS)
    return [_by_side(3 if quick else 9), _by_workers(quick)]


def _by_side(rounds: int) -> Table:
    table = Table(
        f"A step's parts by the side of color images, batch {BATCH}, resnet8, {THREADS} threads",
        ["px", "network ms", "views ms", "views / network", "network, ns a pixel"],
    )
    for side in (32, 64, 96, 128):
        config = load_run_config("cifar10", ["model.backbone=resnet8", "model.width=16"])
        method = build_method(
            config.model, config.method, channels=3, image_size=side, classes=10, seed=0
        ).to(memory_format=torch.channels_last)
        assert isinstance(method, MoCo)
        images = torch.randint(256, (BATCH, 3, side, side), dtype=torch.uint8)
        seen = torch.randn(BATCH, 3, side, side).contiguous(memory_format=torch.channels_last)
        views = ColorViews(3, side, [0.5] * 3, [0.25] * 3)
        found = interleaved(
            {"network": bare(method, seen, "fp32"), "views": lambda v=views, i=images: v(i)}, rounds
        )
        network, made = found["network"], found["views"]
        pixels = BATCH * side * side
        table.add(
            side,
            network.median * 1e3,
            made.median * 1e3,
            made.over(network),
            network.median * 1e9 / pixels,
        )
    return table


def _by_workers(quick: bool) -> Table:
    """The same run with its batch on one worker of two threads, and on two of one."""
    os.environ.pop("RAY_ADDRESS", None)
    table = Table(
        "Images/s of `raymoco train` on Fashion-MNIST, batch 256, two cores in all",
        ["workers", "batch norm", "images/s", "min to max", "of one worker, plain"],
    )
    layouts = [(1, "plain"), (2, "plain"), (2, "shuffle"), (2, "sync")]
    first = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for workers, batch_norm in [*layouts, (1, "plain")]:
            config = load_run_config(
                "fashion_mnist",
                [
                    f"output={folder}", "data.limit=6000", "eval.every=99", "tracking.uri=none",
                    f"epochs={3 if quick else 8}", "eval.linear.epochs=0",
                    f"name=w{len(table.rows)}",
                    f"scale.workers={workers}", f"scale.cpus_per_worker={THREADS // workers}",
                    f"method.batch_norm={batch_norm}",
                ],
            )  # fmt: skip
            place = train(config, say=lambda line: None).folder / "metrics.csv"
            rates = [float(row["perf/images_per_second"]) for row in read_metrics(Path(place))[1:]]
            middle = statistics.median(rates)
            first = first or middle
            spread = f"{min(rates):.0f} to {max(rates):.0f}"
            table.add(workers, batch_norm, middle, spread, middle / first)
    table.notes.append(
        "The epochs after the first. The first layout is measured again at the end: how far apart "
        "its two rows are is what the machine's mood is worth."
    )
    return table
