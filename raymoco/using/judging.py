"""Trained encoders, judged again: on their own images or on others, beside simple baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from raymoco.choices import PROTOCOLS
from raymoco.config import DataConfig, EvalConfig
from raymoco.data.loading.loader import open_images
from raymoco.data.loading.prepare import PreparedImages, fetch, load_images
from raymoco.data.loading.train_plan import Reader
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.output_folder import resolve_output
from raymoco.engine.probes import Features, extract_features, knn_classes
from raymoco.engine.protocols.judge import build_protocols, finite, measure
from raymoco.engine.protocols.protocol import Evaluation
from raymoco.errors import ConfigError, DataError
from raymoco.metrics import Row, describe
from raymoco.registry import name_of
from raymoco.ssl.encoders import build_encoder
from raymoco.using.pictures import Seen, draw_pictures
from raymoco.using.place import find_place
from raymoco.using.preprocessing import Preprocessing
from raymoco.using.trained_encoder import TrainedEncoder, Which, read_encoder

PIXELS = 32  # px: larger images are averaged down to it before their pixels are features
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Judgement:
    """An encoder, or a baseline, by the test split of some images.

    Attributes:
        name: of the run or trial, or what kind of baseline it is.
        row: metrics of the split `test`.
        right: by metric `..._top1`, whether each judged image was classified correctly; in the
            order of the images.
        images: what it was judged on, in words.
    """

    name: str
    row: Row
    right: dict[str, NDArray[np.bool_]] = field(default_factory=dict, repr=False)
    images: str = ""


@dataclass(frozen=True)
class Judged:
    """Encoders and baselines, judged alike; `notes` says what was chosen, fitted and changed.

    `pictures` is the page of pictures of the first encoder, if they were asked for.
    """

    encoders: list[Judgement]
    baselines: list[Judgement]
    notes: list[str]
    pictures: Path | None = None


def evaluate(place: str | Path) -> Row:
    """Measure a trained encoder on its test split again, by the protocols of its config.

    Args:
        place: as for `load_encoder`.
    Returns:
        `test/knn_top1`, `test/linear_top1`, `test/linear_top5`, fractions 0-1; and what other
        protocols in `eval.protocols` report on test.
    Raises:
        ConfigError: the code of a protocol is not there.
        DataError: no checkpoint, its images are missing, or they have no labels.
    """
    return judge([place], baselines=False).encoders[0].row


def judge(
    places: Sequence[str | Path],
    *,
    on: DataConfig | None = None,
    protocols: Sequence[str] | None = None,
    encoder: Which = "query",
    baselines: bool = True,
    pictures: Path | None = None,
    progress: Progress | None = None,
) -> Judged:
    """Measure trained encoders on a test split.

    Args:
        places: as for `load_encoder`.
        on: judge by these images, frozen features and new classifiers (transfer); None: by those
            that each was trained on.
        protocols: names; None: those of the first one's config.
        baselines: also judge the majority class, pixels, and the first one's network untrained.
        pictures: a folder for pictures of the first one; None: none are drawn.
        progress: called with a sentence now and then.
    Raises:
        ConfigError: an unknown protocol, or one whose code is not there.
        DataError: no checkpoint, images are missing, or they have no labels in train or test.
    """
    found = [find_place(place) for place in places]
    trained = [read_encoder(one.checkpoint, encoder) for one in found]
    notes = [one.note for one in found if one.note]
    how = _protocols(trained[0].config.eval, protocols)
    read = cache(lambda data, output, channels: _Images(data, output, channels, progress))
    encoders = []
    for place, one in zip(found, trained, strict=True):
        data = _fitted(on, one) if on is not None else one.config.data
        images = read(_Hashable(data), one.config.output, one.channels)
        notes += [note for note in images.notes(one, transfer=on is not None) if note not in notes]
        encoders.append(images.judge(place.name, one, one.preprocess, how, one.config.seed))
    one = trained[0]
    data = _fitted(on, one) if on is not None else one.config.data
    images = read(_Hashable(data), one.config.output, one.channels)
    others = images.baselines(one, how) if baselines else []
    page = images.draw(encoders[0].name, one, pictures) if pictures is not None else None
    return Judged(encoders, others, notes, page)


class _Hashable:
    """A config as the key of a cache."""

    def __init__(self, data: DataConfig) -> None:
        self.data = data
        self._text = data.model_dump_json()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashable) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def _protocols(config: EvalConfig, names: Sequence[str] | None) -> EvalConfig:
    """The config of evaluation with other protocols."""
    if names is None:
        return config
    known = [name for name, choice in PROTOCOLS.choices.items() if not choice.always]
    for name in names:
        if name not in known and ":" not in name:
            raise ConfigError(
                f"protocol is '{name}', but must be one of {', '.join(known)}, or your own "
                "package.module:Name."
            )
    listed = {name_of(one): one for one in config.protocols}  # with the run's options
    chosen = [listed.get(name, name) for name in dict.fromkeys(names)]
    changed: dict[str, Any] = {"protocols": chosen}
    if "linear" in names and not config.linear.epochs:
        changed["linear"] = type(config.linear)()
    return config.model_copy(update=changed)


def _fitted(on: DataConfig, encoder: TrainedEncoder) -> DataConfig:
    """Other images, at the encoder's size."""
    how = encoder.preprocess
    size = {"image_size": how.resize}
    if how.crop != how.resize:
        size["view_size"] = how.crop
    return on.model_copy(update={**size, "background": how.background})


class _Images:
    """The images of a config, ready to be judged by; each encoder sees them through its own eyes.

    Args:
        channels: 1 or 3: what the encoders take.
    """

    def __init__(
        self, of: _Hashable, output: str, channels: int, progress: Progress | None
    ) -> None:
        self._data = of.data
        shards = ensure_shards(of.data, resolve_output(output), progress)
        self._own_channels = shards.channels
        image = shards.manifest.image.model_copy(update={"channels": channels})
        manifest = shards.manifest.model_copy(update={"image": image})
        self._handle: PreparedImages = load_images(of.data, replace(shards, manifest=manifest))
        self.name = str(of.data.root or name_of(of.data.source))
        for split in ("train", "test"):
            if not manifest.counts[split].labelled:
                raise DataError(
                    f"{self.name}: its images have no labels to judge by in the {split} split."
                )

    def notes(self, encoder: TrainedEncoder, *, transfer: bool) -> list[str]:
        """How these images are fitted to an encoder, where they are other images."""
        if not transfer:
            return []
        how, counts = encoder.preprocess, self._handle.manifest.counts
        colors = {
            (1, 3): ", gray repeated three times",
            (3, 1): ", colors made gray",
        }.get((self._own_channels, encoder.channels), "")
        return [
            f"{self.name}: {counts['train'].labelled:,} labeled images to learn from, "
            f"{counts['test'].labelled:,} to judge by, resized to {how.resize} px"
            f"{f' and cut to {how.crop}' if how.crop != how.resize else ''}{colors}; normalized by "
            "the encoder's own mean and deviation"
        ]

    def judge(
        self, name: str, encoder: nn.Module, how: Preprocessing, config: EvalConfig, seed: int
    ) -> Judgement:
        """Extract features and measure the test split."""
        # how a batch mixes labeled and unlabeled images does not matter here
        data = self._data.model_copy(update={"mix": "natural"})
        reader = Reader(seed=seed, batch_size=min(2, self._handle.rows("train")))
        images = open_images(self._handle, data, reader)
        train, chosen, test = (
            extract_features(encoder, images.split(split, 1024), how.normalize, torch.device("cpu"))
            for split in ("train", "eval", "test")
        )
        if config.labels == "visible":
            train = Features(train.features_NF, images.visible_labels)
        right: dict[str, NDArray[np.bool_]] = {}
        judged = test.labeled()

        def keep(metric: str, predicted_M: Tensor) -> None:
            right[f"test/{metric}"] = (predicted_M.cpu() == judged.labels_N).numpy()

        about = Evaluation(
            "test",
            choose=chosen.labeled(),
            classes=len(self._handle.classes),
            seed=seed,
            keep=keep,
        )
        protocols = list(build_protocols(config).values())
        row = finite(measure(protocols, train.labeled(), judged, about))
        return Judgement(name, row, right, self.name)

    def seen(self, split: str, encoder: TrainedEncoder) -> Seen:
        """The labeled images of a split as an encoder sees them, and their features."""
        part = self._handle.splits[split]
        labels = np.asarray(fetch(part.labels))
        judged = np.flatnonzero(labels >= 0)
        ids = [name.decode() for name in np.asarray(fetch(part.ids))[judged].tolist()]
        data = self._data.model_copy(update={"mix": "natural"})
        reader = Reader(seed=0, batch_size=min(2, self._handle.rows("train")))
        images = open_images(self._handle, data, reader)
        pixels = np.concatenate([b.images.numpy() for b in images.split(split, 1024)])[judged]
        blocks = [pixels[start : start + 1024] for start in range(0, len(pixels), 1024)]
        features = torch.cat([encoder.apply_to(block) for block in blocks])
        return Seen(ids, pixels, labels[judged], features.numpy())

    def draw(self, name: str, encoder: TrainedEncoder, folder: Path) -> Path:
        """Draw what the encoder makes of these images."""
        bank, asked = self.seen("train", encoder), self.seen("test", encoder)
        knn = encoder.config.eval.knn
        predicted = knn_classes(
            Features(torch.from_numpy(bank.features), torch.from_numpy(bank.labels)),
            Features(torch.from_numpy(asked.features), torch.from_numpy(asked.labels)),
            k=knn.k,
            temperature=knn.temperature,
        )
        return draw_pictures(name, bank, asked, predicted.numpy(), self._handle.classes, folder)

    def baselines(self, encoder: TrainedEncoder, config: EvalConfig) -> list[Judgement]:
        """What needs no training: the majority class, pixels, and the same network untrained."""
        model, seed = encoder.config.model, encoder.config.seed
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            untrained = build_encoder(model, encoder.channels, encoder.image_size)
        words = f"untrained {name_of(model.backbone)}"
        return [
            self.judge(words, untrained, encoder.preprocess, config, seed),
            self.judge("pixels", _Pixels(), encoder.preprocess, config, seed),
            self._majority(config),
        ]

    def _majority(self, config: EvalConfig) -> Judgement:
        counts = self._handle.manifest.counts
        common = max(counts["train"].per_class, key=lambda name: counts["train"].per_class[name])
        share = counts["test"].per_class[common] / counts["test"].labelled
        names = [m.name for one in build_protocols(config).values() for m in one.metrics]
        accuracies = [name for name in names if describe(name).outcomes and name[:5] == "test/"]
        return Judgement(f"always '{common}'", dict.fromkeys(accuracies, share), {}, self.name)


class _Pixels(nn.Module):
    """Pixels as features, averaged down where there are many."""

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C * S * S)."""
        size = min(images.shape[-1], PIXELS)
        return F.adaptive_avg_pool2d(images, size).flatten(1)
