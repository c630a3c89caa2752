"""Real photographs for the benches: random crops of the two that scikit-learn carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images


def crops(count: int, size: int) -> NDArray[np.uint8]:
    """(count, size, size, 3) uint8, cut at random places from 427 x 640 px."""
    photographs = load_sample_images().images
    generator = np.random.default_rng(0)
    found = np.empty((count, size, size, 3), np.uint8)
    for number in range(count):
        image = photographs[number % len(photographs)]
        top, left = (generator.integers(0, side - size) for side in image.shape[:2])
        found[number] = image[top : top + size, left : left + size]
    return found


def write_folder(folder: Path, count: int, size: int) -> None:
    """An image folder of two classes, train and test, as JPEG."""
    for number, pixels in enumerate(crops(count, size)):
        part = "test" if number % 10 == 0 else "train"
        place = folder / part / ("china", "flower")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:06}.jpg", quality=90)
