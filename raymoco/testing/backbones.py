"""Conformance of a backbone."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from raymoco.choices import BACKBONES
from raymoco.config import ModelConfig
from raymoco.ssl.encoders import Encoder, EncoderPair, build_encoder
from raymoco.testing.named import called, must, named

IMAGES = 4


def check_backbone(
    backbone: Any, *, channels: tuple[int, ...] = (1, 3), image_size: int = 32, **options: Any
) -> None:
    """Check that a backbone can be trained and evaluated.

    The suite imports and builds it as for a run. torch's seed must determine its weights; its
    features must be finite and of the declared size; every parameter must get a gradient (several
    workers wait for each); a copy must be independent; and in eval mode an image must have the same
    features alone and in a batch, in either memory format.

    Args:
        backbone: a name, `package.module:Name`, or the function or class.
        channels: numbers of image channels that it must accept.
        image_size: height and width, px.
        options: the options beside the name in `model.backbone`.
    Raises:
        AssertionError: says in a sentence what is wrong.
    """
    value = named(BACKBONES, backbone, options)
    for count in channels:
        say = f"{called(value)}, with images of {image_size} px and {count} channels"
        _check(say, ModelConfig(backbone=value), count, image_size)


def _check(say: str, model: ModelConfig, channels: int, size: int) -> None:
    first, again = (_build(model, channels, size) for _ in range(2))
    state, same = first.state_dict(), again.state_dict()
    assert state.keys() == same.keys(), f"{say}: built twice, it has other tensors."
    for name, tensor in state.items():
        assert torch.equal(tensor, same[name]), (
            f"{say}: built twice with one seed, {name} differs: its weights must be drawn by torch."
        )
    images = torch.randn(IMAGES, channels, size, size, generator=torch.Generator().manual_seed(0))
    features = _features(say, first, images)
    assert features.shape == (IMAGES, first.feature_dim), (
        f"{say}: {IMAGES} images become {tuple(features.shape)}, but must become "
        f"({IMAGES}, {first.feature_dim})."
    )
    assert bool(features.isfinite().all()), f"{say}: its features must be finite, but are not."
    _check_gradients(say, first, features)
    _check_copy(say, first, images)
    first.load_state_dict(again.state_dict())
    _check_judged(say, first.eval(), images)


def _build(model: ModelConfig, channels: int, size: int) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        found: Encoder = must(lambda: build_encoder(model, channels, size))
        return found


def _features(say: str, encoder: Encoder, images: Tensor) -> Tensor:
    try:
        return encoder.features(images)
    except Exception as error:
        raise AssertionError(f"{say}: it raises {type(error).__name__}: {error}") from error


def _check_gradients(say: str, encoder: Encoder, features: Tensor) -> None:
    draw = torch.Generator().manual_seed(1)
    weights = torch.randn(features.shape, generator=draw)
    (features * weights).sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in encoder.backbone.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, (
                f"{say}: {name} gets no gradient, for which several workers would wait: use it, or "
                "freeze it with requires_grad_(False)."
            )


def _check_copy(say: str, encoder: Encoder, images: Tensor) -> None:
    pair = EncoderPair(encoder)
    own = {id(tensor) for tensor in encoder.state_dict(keep_vars=True).values()}
    shared = [name for name, t in pair.key.state_dict(keep_vars=True).items() if id(t) in own]
    assert not shared, f"{say}: a copy of it shares {', '.join(shared)} with the original."
    with torch.no_grad():
        query_BF = _features(say, encoder.eval(), images)
        key_BF = _features(say, cast(Encoder, pair.key).eval(), images)
    encoder.train()
    assert torch.equal(query_BF, key_BF), f"{say}: a copy of it has other features."


@torch.no_grad()
def _check_judged(say: str, encoder: Encoder, images: Tensor) -> None:
    together = _features(say, encoder, images)
    alone = torch.cat([_features(say, encoder, image[None]) for image in images])
    assert torch.allclose(together, alone, rtol=1e-3, atol=1e-4), (
        f"{say}: in eval mode an image has other features alone than in a batch."
    )
    encoder.to(memory_format=torch.channels_last)
    last = _features(say, encoder, images.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(together, last, rtol=1e-3, atol=1e-4), (
        f"{say}: in channels-last memory, as training has them, images have other features."
    )
