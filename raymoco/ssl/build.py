"""Build the module that a training step calls, from a config."""

from __future__ import annotations

import torch

from raymoco.choices import BACKBONES, LOSSES, TERMS
from raymoco.config import MethodConfig, ModelConfig
from raymoco.ssl.encoders import build_encoder
from raymoco.ssl.moco import MoCo
from raymoco.ssl.objective import build_loss, build_terms
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
    """Build the method of a run; the seed alone decides its weights and queue.

    The global random state is neither used nor changed, so that a run starts on a warm worker as on
    a fresh one.

    Args:
        model: backbone and projector.
        method: loss, queue and regularizers.
        channels: channels of the images.
        image_size: height and width, px.
        classes: number of classes; only a method without keys uses it.
        seed: the run's seed.
    Returns:
        A module on the CPU, called as method(view_a, view_b, labels), with `.encoder` to evaluate.
    Raises:
        ConfigError: no such backbone, or one that cannot take these images.
    """
    with torch.random.fork_rng(devices=[]):
        # not torch.manual_seed, which would reseed the GPUs too
        torch.default_generator.manual_seed(seed)
        encoder = build_encoder(model, channels, image_size)
        if not LOSSES.facts(method.loss).has_keys:
            found: Supervised = LOSSES.make(
                method.loss,
                encoder,
                classes=classes,
                batch_norm=method.batch_norm,
                bn_groups=method.bn_groups,
            )
            return found
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
            terms=method.terms,
            seed=seed,
        )


def check_method(model: ModelConfig, method: MethodConfig) -> None:
    """Refuse what `build_method` could not build for any images; no encoder is built.

    Raises:
        ConfigError: the code of a loss, a term or a backbone is missing, does not keep its
            Protocol, or refuses its options; names the key.
    """
    BACKBONES.options(model.backbone, BACKBONES.load(model.backbone), model.model_dump())
    if LOSSES.facts(method.loss).has_keys:
        build_loss(method.loss, method.temperature, method.model_dump(), "method.loss")
    sections = [name for name, choice in TERMS.choices.items() if choice.has_section]
    build_terms({name: getattr(method, name) for name in sections}, {}, "method.")
    for name, term in method.terms.items():  # also a term of weight 0: its weight may change
        TERMS.at(f"method.terms.{name}").make(term.named(name))
