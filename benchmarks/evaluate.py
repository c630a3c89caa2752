"""How long a run's final evaluation takes: features, kNN and linear probe."""

from __future__ import annotations

import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch

from benchmarks.tables import Table
from raymoco.config import load_run_config
from raymoco.data.loading.loader import open_images
from raymoco.data.loading.prepare import load_images
from raymoco.data.loading.train_plan import Reader
from raymoco.data.shards.ensure import ensure_shards
from raymoco.data.views.two_views import Normalize
from raymoco.engine.probes import extract_features, knn_top1, linear_probe
from raymoco.engine.resolve import resolve
from raymoco.ssl import build_method

THREADS = 2
EVAL_BATCH = 1024


def run(quick: bool) -> list[Table]:
    """Digits, and unless `quick` all of Fashion-MNIST."""
    torch.set_num_threads(THREADS)
    table = Table(
        f"The final evaluation of a run, {THREADS} threads, medians",
        ["", "bank", "test", "features s", "kNN s", "linear probe s", "whole s", "min to max s"],
    )
    for source in ("digits",) if quick else ("digits", "fashion_mnist"):
        found = [_seconds(source) for _ in range(4 if source == "fashion_mnist" else 10)]
        found = found[1:]  # the first one warms up
        whole = sorted(sum(row[2:]) for row in found)
        parts = [statistics.median(row[part] for row in found) for part in (2, 3, 4)]
        spread = f"{whole[0]:.3g} to {whole[-1]:.3g}"
        table.add(source, *found[0][:2], *parts, statistics.median(whole), spread)
    return [table]


def _seconds(source: str) -> tuple[float, ...]:
    with tempfile.TemporaryDirectory() as folder:
        config = load_run_config(source, [f"output={folder}"])
        handle = load_images(config.data, ensure_shards(config.data, Path(folder)))
    config = resolve(config, channels=1, train_images=handle.rows("train"))
    method = build_method(
        config.model, config.method, channels=1, image_size=handle.image_size, classes=10, seed=0
    ).to(memory_format=torch.channels_last)
    normalize = Normalize(handle.manifest.mean, handle.manifest.std)
    images = open_images(handle, config.data, Reader(seed=0, batch_size=config.optim.batch_size))
    marks = [time.perf_counter()]
    bank, choose, test = (
        extract_features(
            method.encoder, images.split(name, EVAL_BATCH), normalize, torch.device("cpu")
        )
        for name in ("train", "eval", "test")
    )
    marks.append(time.perf_counter())
    knn = config.eval.knn
    for part in (choose, test):
        knn_top1(bank, part, k=knn.k, temperature=knn.temperature)
    marks.append(time.perf_counter())
    linear_probe(bank, choose, test, epochs=config.eval.linear.epochs, seed=0)
    marks.append(time.perf_counter())
    spent = [later - sooner for sooner, later in pairwise(marks)]
    return (len(bank.labels_N), len(test.labels_N), *spent)
