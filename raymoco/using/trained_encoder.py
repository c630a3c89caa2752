"""The encoder that a run has trained, with all that its images need before it."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from raymoco.config import RunConfig
from raymoco.engine.checkpoint import Checkpoint, load_checkpoint
from raymoco.errors import ConfigError, DataError
from raymoco.reading import shown
from raymoco.ssl import build_method
from raymoco.ssl.encoders import Encoder
from raymoco.ssl.moco import MoCo
from raymoco.ssl.supervised import Supervised
from raymoco.using.place import find_place
from raymoco.using.preprocessing import Picture, Preprocessing

Which = Literal["query", "key"]
Layer = Literal["backbone", "projector"]
BATCH = 256
READERS = 4  # threads that decode: libjpeg-turbo and torch's resize release the interpreter


class TrainedEncoder(Encoder):
    """A trained encoder in eval mode, and how to feed it.

    Attributes:
        preprocess: from a path, bytes, a Pillow image or an array to what the encoder takes.
        classes: names of the classes of its training data, by number.
        classifier: from features to scores of the classes, of a supervised run; else None.
        config: of the run.
        epoch: after which the checkpoint was written.
    """

    def __init__(self, encoder: Encoder, checkpoint: Checkpoint, classifier: nn.Linear | None):
        super().__init__(encoder.backbone, encoder.projector, encoder.feature_dim, encoder.dim)
        self.preprocess = Preprocessing.of(checkpoint.data)
        self.classes: tuple[str, ...] = tuple(checkpoint.data["classes"])
        self.config: RunConfig = checkpoint.run_config
        self.epoch = checkpoint.epoch
        # not a part of the encoder: its state has the backbone and the projector alone
        object.__setattr__(self, "classifier", classifier)
        self.eval()

    classifier: nn.Linear | None

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self.preprocess.channels

    @property
    def image_size(self) -> int:
        """Side of the images that it takes, px."""
        return self.preprocess.crop

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of the training images by channel, 0-1."""
        return self.preprocess.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of the training images by channel, 0-1."""
        return self.preprocess.std

    def features_of(
        self, pictures: Iterable[Picture], *, layer: Layer = "backbone", batch_size: int = BATCH
    ) -> Tensor:
        """Return the features of images as they lie, (N, F) float32 on the CPU.

        Args:
            pictures: paths, encoded bytes, Pillow images or arrays, in any mixture.
            layer: `backbone` (F), or `projector`: normalized, as the loss saw them (D).
            batch_size: images a forward pass.
        Raises:
            DataError: one of them cannot be read; names it.
        """
        if isinstance(pictures, (str, bytes, Path)):
            pictures = [pictures]
        rest = iter(pictures)
        with ThreadPoolExecutor(READERS) as readers:
            found = [
                self.apply_to(np.stack(list(readers.map(self._pixels, some))), layer)
                for some in iter(lambda: list(islice(rest, batch_size)), [])
            ]
        wide = self.dim if layer == "projector" else self.feature_dim
        return torch.cat(found) if found else torch.empty(0, wide)

    @torch.inference_mode()
    def apply_to(self, pixels: np.ndarray, layer: Layer = "backbone") -> Tensor:
        """Return the features (B, F) of pixels (B, C, S, S) uint8, on the CPU."""
        device = next(self.parameters()).device
        images = self.preprocess.normalize(torch.from_numpy(pixels).to(device))
        images = images.contiguous(memory_format=torch.channels_last)
        found = self(images) if layer == "projector" else self.features(images)
        return found.float().cpu()

    @torch.inference_mode()
    def classes_of(self, features: Tensor) -> list[int] | None:
        """The classes of backbone features (B, F) by the head; None without one."""
        if self.classifier is None:
            return None
        scores = self.classifier(features.to(self.classifier.weight.device))
        return [int(number) for number in scores.argmax(1)]

    def _pixels(self, picture: Picture) -> np.ndarray:
        return self.preprocess.pixels(picture)[0]


def which_named(word: str) -> Which:
    """The encoder of a name, query or key.

    Raises:
        ConfigError: it is neither.
    """
    return cast(Which, _one_of("encoder", word, get_args(Which)))


def layer_named(word: str) -> Layer:
    """The layer of a name, backbone or projector.

    Raises:
        ConfigError: it is neither.
    """
    return cast(Layer, _one_of("layer", word, get_args(Layer)))


def _one_of(what: str, word: str, words: tuple[str, ...]) -> str:
    if word not in words:
        raise ConfigError(f"{what} is '{word}', but must be one of {', '.join(words)}.")
    return word


def load_encoder(place: str | Path, *, encoder: Which = "query") -> TrainedEncoder:
    """Load a trained encoder, in eval mode, on the CPU.

    Args:
        place: a run, a sweep (its best trial), SWEEP/TRIAL, or a checkpoint; by folder or name.
        encoder: `query`, which the optimizer moved, or `key`, its moving average.
    Returns:
        A module with `features(images)`: (B, C, H, W) normalized float32 -> (B, F);
        `forward(images)`: normalized projections (B, D); `preprocess(picture)`: one image as it
        takes it; and `features_of(pictures)`.
    Raises:
        DataError: nothing of that name, no checkpoint there, or one that cannot be read.
        ConfigError: the key encoder is asked of a run that has none.
    """
    return read_encoder(find_place(place).checkpoint, encoder)


def read_encoder(path: Path, which: Which = "query") -> TrainedEncoder:
    """The encoder in a checkpoint file.

    Raises:
        ConfigError, DataError: as `load_encoder`.
    """
    checkpoint = load_checkpoint(path)
    try:
        return encoder_of(checkpoint, which)
    # the parts of a damaged file that can be read need not belong together
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{shown(path)}: its encoder cannot be built: {said}") from None


def encoder_of(checkpoint: Checkpoint, which: Which = "query") -> TrainedEncoder:
    """The encoder in a checkpoint.

    Raises:
        ConfigError: it has no key encoder.
    """
    module = build_method(
        checkpoint.run_config.model,
        checkpoint.run_config.method,
        channels=checkpoint.data["channels"],
        image_size=checkpoint.data["image_size"],
        classes=len(checkpoint.data["classes"]),
        seed=checkpoint.run_config.seed,
    )
    if checkpoint.whole:
        module.load_state_dict(checkpoint.module)
    else:
        module.encoder.load_state_dict(checkpoint.module)
    if which == "key":
        if not checkpoint.whole:
            raise ConfigError(
                "encoder is key, but of this trial only the query encoder was kept "
                "(checkpoint.losers)."
            )
        if not isinstance(module, MoCo):
            raise ConfigError(
                f"encoder is key, but a run with method.loss {checkpoint.run_config.method.loss} "
                "has a query encoder only."
            )
        return TrainedEncoder(cast(Encoder, module.encoders.key), checkpoint, None)
    classifier = None
    if isinstance(module, Supervised) and checkpoint.whole:
        classifier = module.classifier
    return TrainedEncoder(module.encoder, checkpoint, classifier)
