"""Features of images as they lie, into a file: in this process, or by Ray Data on every machine."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from raymoco.config import DataConfig, ScaleConfig
from raymoco.data.account import Account, KeepsAccount, Kind, Remark
from raymoco.data.ray_tasks import run_jobs
from raymoco.data.sources.open import open_source
from raymoco.data.sources.source import Entry, Source
from raymoco.data.sources.unreadable import Unreadable
from raymoco.engine.cluster import connect
from raymoco.errors import DataError
from raymoco.files import absolute
from raymoco.registry import name_of
from raymoco.using.feature_files import FeatureRows, feature_writer
from raymoco.using.trained_encoder import Layer, TrainedEncoder

CHUNK = 256  # images a forward pass
HERE = 4096  # up to so many images this process is done before Ray's have started
SAY_EVERY_S = 2.0
Progress = Callable[[str], None]


@dataclass
class Embedded:
    """What was written: rows, width of the features, and what there is to say about the images."""

    file: Path
    rows: int = 0
    width: int = 0
    remarks: tuple[Remark, ...] = ()
    seconds: float = 0.0


@dataclass
class _Chunk:
    """The rows of some consecutive entries; corrupt images are in the remarks alone."""

    ids: list[str] = field(default_factory=list)
    labels: list[int | None] = field(default_factory=list)
    features: NDArray[np.float32] | None = None
    predicted: list[int] | None = None
    remarks: list[tuple[Kind, str, str]] = field(default_factory=list)


def embed(
    encoder: TrainedEncoder,
    images: DataConfig,
    target: Path,
    *,
    layer: Layer = "backbone",
    progress: Progress | None = None,
    here: bool | None = None,
) -> Embedded:
    """Write the features of every image of a source to a file, by id; of a list, in its order.

    Args:
        images: `source`, `root`, `columns` and `labels_csv` of it count.
        target: .parquet (columns id, label, maybe predicted, and features as a list), .csv (f0, f1,
            ... instead), or .npy (N, F) float32 with the other columns in NAME.csv beside it.
        layer: `backbone`, or `projector`.
        progress: called with a sentence now and then.
        here: in this process; None: if there are few images, or no cluster to join.
    Raises:
        ConfigError: the file's ending is none of these.
        DataError: the source cannot be read, or none of its images can.
    """
    started = time.monotonic()
    source = open_source(images)
    encoder_classes = encoder.classes
    with feature_writer(absolute(target), source.classes, encoder_classes) as writer:
        # a list has an order; that of a folder's files is the disk's
        found = _Images(source, in_order=name_of(images.source) == "files")
        alone = len(found) <= HERE if here is None else here
        with nullcontext() if alone else connect(ScaleConfig(), target.absolute().parent, groups=0):
            account = found.account
            said = started
            for chunk in _chunks(encoder, found, layer, alone):
                for kind, reason, name in chunk.remarks:
                    account.add(kind, reason, name)
                if chunk.features is not None:
                    writer.add(
                        FeatureRows(chunk.ids, chunk.labels, chunk.features, chunk.predicted)
                    )
                if progress and time.monotonic() > said + SAY_EVERY_S:
                    said = time.monotonic()
                    progress(f"{writer.rows:,} of {len(found):,} images")
        if not writer.rows:
            raise DataError(
                f"{images.root or source.name}: none of its {len(found):,} images can be read."
            )
    return Embedded(
        absolute(target),
        writer.rows,
        writer.width,
        account.remarks(),
        time.monotonic() - started,
    )


class _Images:
    """The entries of a source, by id or in its own order, and its account of them."""

    def __init__(self, source: Source, *, in_order: bool) -> None:
        self.source = source
        self.entries = list(source.entries())
        if not in_order:
            self.entries.sort(key=lambda entry: entry.id)
        said = source.account().remarks() if isinstance(source, KeepsAccount) else ()
        self.account = Account(said)

    def __len__(self) -> int:
        return len(self.entries)

    def chunks(self) -> Iterator[list[Entry]]:
        rest = iter(self.entries)
        return iter(lambda: list(islice(rest, CHUNK)), [])


def _chunks(encoder: TrainedEncoder, found: _Images, layer: Layer, alone: bool) -> Iterator[_Chunk]:
    """Yield the rows in order."""
    jobs = list(found.chunks())
    held: Any = encoder if alone else ray.put(encoder)
    work = functools.partial(embed_entries, source=found.source, encoder=held, layer=layer)
    numbers = {id(job): number for number, job in enumerate(jobs)}
    waiting: dict[int, _Chunk] = {}
    due = 0
    for chunk, job in run_jobs(work, jobs, parallel=not alone):
        waiting[numbers[id(job)]] = chunk
        while due in waiting:
            yield waiting.pop(due)
            due += 1


def embed_entries(entries: Sequence[Entry], source: Source, encoder: Any, layer: Layer) -> _Chunk:
    """Read and embed some entries of a source.

    Args:
        encoder: a TrainedEncoder, or a reference to one in the object store.
    """
    trained: TrainedEncoder = ray.get(encoder) if isinstance(encoder, ray.ObjectRef) else encoder
    chunk = _Chunk()
    pixels = []
    images = source.read([entry.place for entry in entries])
    for entry, image in zip(entries, images, strict=True):
        try:
            found, remarks = trained.preprocess.pixels(image)
        except DataError as error:
            gone = image.why if isinstance(image, Unreadable) else ""
            chunk.remarks.append(("corrupt", gone or str(error).split(": ")[1], entry.id))
            continue
        chunk.remarks += [(kind, reason, entry.id) for kind, reason in remarks]
        chunk.ids.append(entry.id)
        chunk.labels.append(entry.label)
        pixels.append(found)
    if pixels:
        stacked = np.stack(pixels)
        features = trained.apply_to(stacked, layer)
        chunk.features = features.numpy()
        if trained.classifier is not None and layer != "backbone":
            features = trained.apply_to(stacked)  # which the head takes
        chunk.predicted = trained.classes_of(features)
    return chunk
