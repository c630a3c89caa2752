"""A trained encoder, judged again."""

from __future__ import annotations

from pathlib import Path

import torch

from raymoco.data.loading.loader import open_images
from raymoco.data.loading.prepare import load_images
from raymoco.data.loading.train_plan import Reader
from raymoco.data.shards.ensure import ensure_shards
from raymoco.data.views.two_views import Normalize
from raymoco.engine.checkpoint import load_checkpoint
from raymoco.engine.output_folder import resolve_output
from raymoco.engine.probes import extract_features
from raymoco.engine.protocols.judge import build_protocols, finite, measure
from raymoco.engine.protocols.protocol import Evaluation
from raymoco.errors import DataError
from raymoco.metrics import Row
from raymoco.using.place import find_place
from raymoco.using.trained_encoder import encoder_of


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
    checkpoint = load_checkpoint(find_place(place).checkpoint)
    config = checkpoint.run_config
    encoder = encoder_of(checkpoint)
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
