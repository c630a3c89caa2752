"""A package that lies outside raymoco, as a lab has it: a source and views of its own."""

from pathlib import Path

import numpy as np

from raymoco.data.sources.source import Entry

SOURCES = '''
"""Images in one numpy file."""

import hashlib
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from raymoco.data.sources.source import Entry
from raymoco.data.splits import in_test_split
from raymoco.errors import DataError


class Arrays:
    """`images.npy` (N, H, W) and `labels.npy` (N,) in a folder."""

    name = "arrays"

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        path: str
        claimed_bytes: int = 64

    def __init__(self, data, options):
        self._folder, self._bytes = Path(options.path), options.claimed_bytes
        if not (self._folder / "images.npy").is_file():
            raise DataError(f"{self._folder / 'images.npy'}: no such file.")
        self.classes = tuple("ab")

    def entries(self):
        for row, label in enumerate(np.load(self._folder / "labels.npy").tolist()):
            split = "test" if in_test_split(f"arrays/{row}") else "train"
            yield Entry(f"arrays/{row}", label, split, str(row), self._bytes)

    def read(self, places):
        images = np.load(self._folder / "images.npy")
        for place in places:
            yield images[int(place)]

    def fingerprint(self):
        parts = [(self._folder / f"{name}.npy").read_bytes() for name in ("images", "labels")]
        return hashlib.sha256(b"".join(parts)).hexdigest()


class Closed(Arrays):
    """Fails on the way, with an error of its own."""

    def __init__(self, data, options):
        raise RuntimeError("the database is locked")


class Nameless:
    """Keeps its names to itself."""

    def __init__(self, data):
        pass

    def entries(self):
        return iter(())

    def read(self, places):
        return iter(())

    def fingerprint(self):
        return "0"


class Unread:
    name, classes = "unread", ()

    def __init__(self, data):
        pass

    def entries(self):
        return iter(())
'''

VIEWS = '''
"""Two views that differ by noise."""

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn


class Noise(nn.Module):
    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        strength: float = 0.1

    def __init__(self, channels, image_size, mean, std, options):
        super().__init__()
        self.strength = options.strength
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images):
        pixels = images.float() / 255
        return self._view(pixels), self._view(pixels)

    def to_pixels(self, views):
        return ((views * self.std + self.mean) * 255).round().clamp(0, 255).to(torch.uint8)

    def _view(self, pixels):
        noisy = pixels + self.strength * torch.randn_like(pixels)
        return (noisy.clamp(0, 1) - self.mean) / self.std


class NoPixels(nn.Module):
    def __init__(self, channels, image_size, mean, std):
        super().__init__()


class TooFew(Noise):
    Options = None

    def __init__(self, channels):
        pass
'''


def write_package(folder: Path) -> None:
    """`mylab/` with `sources` and `views`."""
    package = folder / "mylab"
    package.mkdir(parents=True)
    for name, text in (("__init__", ""), ("sources", SOURCES), ("views", VIEWS)):
        (package / f"{name}.py").write_text(text)


def write_arrays(folder: Path, count: int = 300) -> Path:
    """The files of `mylab.sources:Arrays`: two classes of noise, one brighter."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = rng.integers(0, 128, (count, 8, 8)) + 127 * labels[:, None, None]
    np.save(folder / "images.npy", images.astype(np.uint8))
    np.save(folder / "labels.npy", labels)
    return folder


class Good:
    """A source of ten images in memory; a test breaks one of its promises."""

    name = "ten"
    classes = ("even", "odd")

    def entries(self):
        for i in range(10):
            yield Entry(f"{i}", i % 2, "test" if i < 2 else "train", f"{i}", 64)

    def read(self, places):
        for place in places:
            yield np.full((8, 8), int(place), np.uint8)

    def fingerprint(self):
        return "ab12"


class Hashed(Good):
    """hash() of text differs in every process."""

    def fingerprint(self):
        return f"{hash('ten') % 2**64:x}"
