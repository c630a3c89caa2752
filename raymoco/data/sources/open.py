"""Where images come from: each source yields the same entries, whatever its files look like."""

from __future__ import annotations

from collections.abc import Callable

from raymoco.config import DataConfig
from raymoco.data.sources.cifar import CifarSource
from raymoco.data.sources.digits import DigitsSource
from raymoco.data.sources.fashion_mnist import FASHION_MNIST_ROOT, FashionMnistSource
from raymoco.data.sources.folder import FolderSource
from raymoco.data.sources.parquet import ParquetSource
from raymoco.data.sources.source import Entry, Source, SourceImage
from raymoco.data.sources.stl10 import Stl10Source

__all__ = ["FASHION_MNIST_ROOT", "SOURCES", "Entry", "Source", "SourceImage", "open_source"]


SOURCES: dict[str, Callable[[DataConfig], Source]] = {
    "digits": DigitsSource,
    "fashion_mnist": FashionMnistSource,
    "cifar10": CifarSource,
    "cifar100": CifarSource,
    "stl10": Stl10Source,
    "folder": FolderSource,
    "shards": ParquetSource,
}


def open_source(data: DataConfig) -> Source:
    """The source that `data` names, its files found but not read.

    Raises:
        ConfigError: `data.root` is missing.
        DataError: files are missing or have not the layout that the source expects; the message
            says where to put which.
    """
    return SOURCES[data.source](data)
