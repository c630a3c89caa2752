"""Load, evaluate and export the encoder that a run has trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from raymoco.config import RunConfig
from raymoco.data.loading.loader import open_images
from raymoco.data.loading.prepare import load_images
from raymoco.data.loading.train_plan import Reader
from raymoco.data.shards.ensure import ensure_shards
from raymoco.data.views.two_views import Normalize
from raymoco.engine.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from raymoco.engine.output_folder import resolve_output
from raymoco.engine.probes import extract_features
from raymoco.engine.protocols.judge import build_protocols, finite, measure
from raymoco.engine.protocols.protocol import Evaluation
from raymoco.errors import DataError
from raymoco.metrics import Row
from raymoco.reading import shown
from raymoco.registry import name_of
from raymoco.ssl import build_method

EXPORT_FORMAT = 1


def load_encoder(place: str | Path) -> nn.Module:
    """Load the trained query encoder of a run, in eval mode, on the CPU.

    Args:
        place: a run's folder, its checkpoints/ folder, or one checkpoint.
    Returns:
        A module with `.features(images)`: (B, C, H, W) normalized float32 -> (B, F), and
        `forward(images)`: the normalized projections (B, D).
    Raises:
        DataError: no checkpoint there, or one that cannot be read.
    """
    return _load(place)[1]


def _load(place: str | Path) -> tuple[Checkpoint, nn.Module]:
    """The checkpoint at a place, and its encoder.

    Raises:
        DataError: as `load_encoder`.
    """
    path = find_checkpoint(Path(place))
    checkpoint = load_checkpoint(path)
    try:
        encoder = _build(checkpoint).encoder
    # the parts of a damaged file that can be read need not belong together
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        said = str(error).splitlines()[0]
        raise DataError(f"{shown(path)}: its encoder cannot be built: {said}") from None
    assert isinstance(encoder, nn.Module)
    return checkpoint, encoder.eval()


def evaluate(place: str | Path) -> Row:
    """Measure a run's encoder on its test split again, by the protocols of its config.

    Args:
        place: as for `load_encoder`.
    Returns:
        `test/knn_top1`, `test/linear_top1`, `test/linear_top5`, fractions 0-1; and what other
        protocols in `eval.protocols` report on test.
    Raises:
        ConfigError: the code of a protocol is not there.
        DataError: no checkpoint, its images are missing, or they have no labels.
    """
    checkpoint, encoder = _load(place)
    config = checkpoint.run_config
    handle = load_images(config.data, ensure_shards(config.data, resolve_output(config.output)))
    if not handle.manifest.counts["test"].labelled:
        raise DataError(f"{place}: its images have no labels to judge by, or no test split.")
    # how a batch mixes labeled and unlabeled images does not matter here
    data = config.data.model_copy(update={"mix": "natural"})
    images = open_images(
        handle, data, Reader(seed=config.seed, batch_size=min(2, handle.rows("train")))
    )
    normalize = Normalize(checkpoint.data["mean"], checkpoint.data["std"])
    cpu = torch.device("cpu")
    train, chosen, test = (
        extract_features(encoder, images.split(split, 1024), normalize, cpu)
        for split in ("train", "eval", "test")
    )
    if config.eval.labels == "visible":
        train = type(train)(train.features_NF, images.visible_labels)
    about = Evaluation(
        "test", choose=chosen.labeled(), classes=len(handle.classes), seed=config.seed
    )
    protocols = list(build_protocols(config.eval).values())
    return finite(measure(protocols, train.labeled(), test.labeled(), about))


def export_backbone(place: str | Path, target: Path) -> dict[str, Any]:
    """Write the backbone's weights to a file that can be read without raymoco.

    The file contains a dict: `state_dict` (torchvision's names for torchvision's backbones, without
    the classifier head), `backbone`, `width`, `channels`, `image_size`, `mean`, `std`, `classes`;
    `torch.load(target, weights_only=True)` reads it.

    Returns:
        The dict without the weights.
    """
    checkpoint, encoder = _load(place)
    about = {
        "format": EXPORT_FORMAT,
        "backbone": name_of(checkpoint.run_config.model.backbone),
        "width": checkpoint.run_config.model.width,
        **{
            key: checkpoint.data[key]
            for key in ("channels", "image_size", "classes", "mean", "std")
        },
    }
    backbone = encoder.backbone
    assert isinstance(backbone, nn.Module)
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**about, "state_dict": backbone.state_dict()}, target)
    return about


def _build(checkpoint: Checkpoint) -> nn.Module:
    config: RunConfig = checkpoint.run_config
    module = build_method(
        config.model,
        config.method,
        channels=checkpoint.data["channels"],
        image_size=checkpoint.data["image_size"],
        classes=len(checkpoint.data["classes"]),
        seed=config.seed,
    )
    module.load_state_dict(checkpoint.module)
    return module
