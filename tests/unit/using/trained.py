"""A run of one epoch on a folder of images, for tests of what uses its encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raymoco.config import RunConfig
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.loop import run_loop
from raymoco.engine.resolve import resolve
from raymoco.engine.session import Session

SMALL = {
    "data.source": "folder",
    "optim.batch_size": 8,
    "method.queue_size": 16,
    "model.width": 4,
    "epochs": 1,
    "eval.linear.epochs": 2,
}


def pictures(folder: Path, *, count: int = 30, size: tuple[int, int] = (40, 30)) -> Path:
    """Class folders of smooth pictures: JPEGs, opaque PNGs and PNGs with transparent parts."""
    for number, name in enumerate(("cats", "dogs")):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            rng = np.random.default_rng(1000 * number + i)
            coarse = rng.integers(0, 256, (4, 4, 4 if i % 3 == 0 else 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
            image.save(folder / name / f"{i:02d}.{'jpg' if i % 3 == 2 else 'png'}")
    return folder


def train_on(root: Path, output: Path, **values: Any) -> Path:
    """Train on a folder, and return the folder of the run."""
    changes = {key.replace("__", "."): value for key, value in values.items()}
    given = {**SMALL, "data.root": str(root), "output": str(output), **changes}
    config = RunConfig().with_values(given)
    shards = ensure_shards(config.data, output)
    images = load_images(config.data, shards)
    config = resolve(config, channels=images.channels, train_images=images.rows("train"))
    run_loop(config, images, Session(output / "one" / "checkpoints"))
    return output / "one"
