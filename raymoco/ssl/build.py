"""From a config to the module that a training step calls."""

from __future__ import annotations

import torch

from raymoco.config import MethodConfig, ModelConfig
from raymoco.ssl.encoders import build_encoder
from raymoco.ssl.moco import MoCo
from raymoco.ssl.supervised import Supervised


def build_method(
    model: ModelConfig,
    method: MethodConfig,
    *,
    channels: int,
    image_size: int,
    classes: int,
    seed: int,
) -> MoCo | Supervised:
    """The method of a run, its weights and queue decided by the seed alone.

    The global random state is neither used nor moved: a run on a warm worker starts as on a fresh
    one.

    Args:
        model: backbone and projector.
        method: loss, queue and regularizers.
        channels: channels of the images.
        image_size: height and width, px.
        classes: number of classes; of use to "cross_entropy" only.
        seed: the run's seed.
    Returns:
        A module on the CPU, called as method(view_a, view_b, labels), with `.encoder` to evaluate.
    Raises:
        ConfigError: no such backbone, or one that cannot take these images.
    """
    with torch.random.fork_rng(devices=[]):
        # not torch.manual_seed: that would reseed the GPUs too
        torch.default_generator.manual_seed(seed)
        encoder = build_encoder(model, channels, image_size)
        if method.loss == "cross_entropy":
            return Supervised(
                encoder,
                classes=classes,
                batch_norm=method.batch_norm,
                bn_groups=method.bn_groups,
            )
        return MoCo(
            encoder,
            loss=method.loss,
            temperature=method.temperature,
            queue_size=method.queue_size,
            queue_init=method.queue_init,
            key_momentum=method.key_momentum,
            batch_norm=method.batch_norm,
            bn_groups=method.bn_groups,
            symmetric=method.symmetric,
            positives=method.positives,
            cross_consistency=method.cross_consistency,
            negative_uniformity=method.negative_uniformity,
            seed=seed,
        )
