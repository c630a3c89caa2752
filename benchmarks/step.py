"""End-to-end images/s on Fashion-MNIST against the bare network, and against lightly."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.tables import Table
from benchmarks.timing import Timing, interleaved
from raymoco.config import RunConfig, load_run_config
from raymoco.data.loading.prepare import PreparedImages, load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.data.views.build import build_views
from raymoco.engine.cluster import connect
from raymoco.engine.loop import run_loop
from raymoco.engine.ray_train import build_trainer
from raymoco.engine.resolve import resolve
from raymoco.engine.session import Session, Stopped
from raymoco.engine.step import build_optimizer
from raymoco.engine.train import prepare_run
from raymoco.files import absolute
from raymoco.ssl import MoCo, build_method

STEPS = 12  # a round
THREADS = 2


def run(quick: bool) -> list[Table]:
    """All tables; needs Fashion-MNIST, and lightly for its row."""
    torch.set_num_threads(THREADS)
    rounds = 3 if quick else 9
    with tempfile.TemporaryDirectory() as folder:
        config = load_run_config(
            "fashion_mnist",
            [
                f"output={folder}",
                f"data.limit={STEPS * 256 * 2}",
                f"scale.cpus_per_worker={THREADS}",
                "tracking.uri=none",
            ],
        )
        handle = load_images(config.data, ensure_shards(config.data, Path(folder)))
        config = resolve(config, channels=1, train_images=handle.rows("train"))
        here = compare(config, handle, rounds, lightly=True)
        return [parts(config, handle, rounds), here, on_ray(config, rounds)]


def build(config: RunConfig) -> tuple[MoCo, Tensor, Tensor]:
    """The run's method, channels-last, with a batch of views and labels in memory."""
    method = build_method(
        config.model, config.method, channels=1, image_size=28, classes=10, seed=0
    ).to(memory_format=torch.channels_last)
    assert isinstance(method, MoCo)
    batch = config.optim.batch_size
    views = torch.randn(batch, 1, 28, 28).contiguous(memory_format=torch.channels_last)
    return method, views, torch.randint(10, (batch,))


def bare(method: MoCo, views: Tensor, precision: str) -> Callable[[], None]:
    """The network alone: forward and backward of the query encoder, forward of the key encoder."""

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            query_BD = method.encoder(views)
            with torch.no_grad():
                key_BD = method.encoders.key(views)
        query_BD.backward(key_BD)

    return step


def parts(config: RunConfig, handle: PreparedImages, rounds: int) -> Table:
    """Where a step's time goes, each part alone."""
    method, views, labels = build(config)
    optimizer = build_optimizer(config.optim, method.parameters())
    manifest = handle.manifest
    two_views = build_views(
        config.data.views, channels=1, image_size=28, mean=manifest.mean, std=manifest.std
    )
    pixels = torch.randint(256, views.shape, dtype=torch.uint8)
    with torch.no_grad():
        query_BD, key_BD = method.encoder(views), method.encoders.key(views)

    def contrast() -> None:
        leaf = query_BD.clone().requires_grad_()
        method._contrast(leaf, key_BD, method.queue.keys, labels, method.queue.labels).backward()

    bare_step = bare(method, views, config.precision)
    found = interleaved(
        {
            "bare network": bare_step,
            "loss, forward and backward": contrast,
            "enqueue": lambda: method.queue.enqueue(key_BD, labels),
            "momentum update": lambda: method.encoders.move_key(0.99),
            "optimizer": optimizer.step,
            "two views": lambda: two_views(pixels),
        },
        3 * rounds,
        warm_up=3,
    )
    table = Table(
        f"Parts of a step, batch {len(views)}, 28x28, resnet8 width {config.model.width}, "
        f"queue {config.method.queue_size}, {THREADS} threads",
        ["", "median ms", "min to max ms", "share of the bare network"],
    )
    for name, timing in found.items():
        share = timing.over(found["bare network"])
        table.add(name, timing.median * 1e3, timing.spread, share)
    return table


def compare(
    config: RunConfig,
    handle: PreparedImages,
    rounds: int,
    *,
    lightly: bool,
    place: str = "in one process",
) -> Table:
    """raymoco's own loop, the bare network and lightly, a round of each after another."""
    method, views, _ = build(config)
    network = bare(method, views, config.precision)
    steps = {"bare network": _images_per_second(network, STEPS, len(views))}
    if lightly and importlib.util.find_spec("lightly") is not None:
        from benchmarks.lightly_moco import build_epoch

        pixels = handle.splits["train"].images[: STEPS * len(views), 0]
        mean, std = handle.manifest.mean[0], handle.manifest.std[0]
        for workers in (0, 2):
            epoch = build_epoch(config, pixels, mean, std, workers)
            steps[f"lightly, DataLoader with {workers} workers"] = _epoch_rate(epoch)
    found: dict[str, list[float]] = {"raymoco": [], **{name: [] for name in steps}}

    def on_report(row: dict[str, float | int], checkpoint: str | None) -> bool:
        found["raymoco"].append(float(row["perf/images_per_second"]))
        for name, measure in steps.items():
            found[name].append(measure())
        return len(found["raymoco"]) > rounds

    long = config.with_values(
        {
            "epochs": 10**6,
            "eval.every": 10**6,
            "checkpoint.every": 10**6,
            "optim.schedule": "constant",
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder), threads=THREADS, on_report=on_report)
        with contextlib.suppress(Stopped):
            run_loop(long, handle, session)
    table = Table(
        f"Images/s of training {place}: data, views, step, queue, logging; without evaluation",
        ["", "images/s", "min to max", "of the bare network", "raymoco / this"],
    )
    ours = found["raymoco"][1:]
    for name, rates in found.items():
        kept = rates[1:]  # the first round warms up
        table.add(
            name,
            statistics.median(kept),
            f"{min(kept):.0f} to {max(kept):.0f}",
            _ratio(kept, found["bare network"][1:]),
            _ratio(ours, kept),
        )
    if lightly and len(steps) == 1:
        table.notes.append("lightly is not installed: pip install 'raymoco[bench]'.")
    return table


def on_ray(config: RunConfig, rounds: int) -> Table:
    """The same in a worker of a TorchTrainer, with Ray's own processes beside it."""
    os.environ.pop("RAY_ADDRESS", None)
    folder = absolute(config.output)
    with connect(config.scale, folder):
        resolved, handle = prepare_run(config, folder, lambda line: None)
        given = {"config": resolved.model_dump(), "handle": handle, "rounds": rounds}
        given["file"] = str(folder / "on_ray.json")
        build_trainer(_ray_loop, given, config.scale, name="bench", folder=folder).fit()
    return Table(**json.loads((folder / "on_ray.json").read_text()))


def _ray_loop(given: dict[str, Any]) -> None:
    config = RunConfig.model_validate(given["config"])
    torch.set_num_threads(THREADS)
    table = compare(config, given["handle"], given["rounds"], lightly=False, place="on Ray")
    Path(given["file"]).write_text(json.dumps(asdict(table)))


def _images_per_second(step: Callable[[], None], steps: int, batch: int) -> Callable[[], float]:
    def measure() -> float:
        started = time.perf_counter()
        for _ in range(steps):
            step()
        return steps * batch / (time.perf_counter() - started)

    return measure


def _epoch_rate(epoch: Callable[[], int]) -> Callable[[], float]:
    def measure() -> float:
        started = time.perf_counter()
        seen = epoch()
        return seen / (time.perf_counter() - started)

    return measure


def _ratio(rates: list[float], others: list[float]) -> float:
    return Timing(tuple(rates)).over(Timing(tuple(others)))
