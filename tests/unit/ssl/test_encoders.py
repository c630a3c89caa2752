"""Backbones by name, the small stem, the projector, and the momentum update."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from raymoco.config import ModelConfig, ProjectorConfig
from raymoco.errors import ConfigError
from raymoco.ssl import build_encoder
from raymoco.ssl.encoders import EncoderPair, momentum_update

FEATURES = {
    "resnet8": 64,
    "resnet18": 512,
    "resnet50": 2048,
    "mobilenet_v3_small": 1024,
    "efficientnet_b0": 1280,
    "densenet121": 1024,
    "convnext_tiny": 768,
    "vit_b_16": 768,
    "squeezenet1_1": 512,
    "alexnet": 4096,
}


@pytest.mark.parametrize("name", FEATURES)
def test_any_classifier_becomes_an_encoder(name):
    with torch.device("meta"):
        encoder = build_encoder(ModelConfig(backbone=name), 1, 96)
        images = torch.empty(2, 1, 96, 96)
    assert encoder.training
    assert encoder.feature_dim == FEATURES[name]
    assert encoder.features(images).shape == (2, FEATURES[name])
    assert encoder(images).shape == (2, 128)


@pytest.mark.parametrize("name", ["resnet8", "mobilenet_v3_small"])
def test_an_encoder_makes_unit_vectors_of_real_images_and_every_parameter_learns(name):
    encoder = build_encoder(ModelConfig(backbone=name), 1, 32)
    vectors = encoder(torch.randn(4, 1, 32, 32))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    vectors[:, 0].sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("size", [8, 15, 28])
def test_resnet8_works_from_eight_pixels_on_and_in_either_memory_format(size):
    encoder = build_encoder(ModelConfig(width=4), 1, size).eval()
    images = torch.randn(3, 1, size, size)
    expected = encoder(images)
    last = encoder.to(memory_format=torch.channels_last)
    got = last(images.contiguous(memory_format=torch.channels_last))
    assert encoder.feature_dim == 16
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "small"), [(32, True), (64, True), (65, False), (224, False)])
def test_a_resnet_has_the_small_stem_up_to_64_pixels(size, small):
    with torch.device("meta"):
        backbone = build_encoder(ModelConfig(backbone="resnet18"), 3, size).backbone
    assert backbone.conv1.kernel_size == ((3, 3) if small else (7, 7))
    assert backbone.conv1.stride == ((1, 1) if small else (2, 2))
    assert isinstance(backbone.maxpool, nn.Identity if small else nn.MaxPool2d)


@pytest.mark.parametrize(
    ("layers", "kinds"),
    [
        (1, [nn.Linear]),
        (2, [nn.Linear, nn.ReLU, nn.Linear]),
        (3, [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]),
    ],
)
def test_the_projector_is_linear_layers_with_relu_between(layers, kinds):
    model = ModelConfig(projector=ProjectorConfig(layers=layers, hidden=7, dim=5))
    projector = build_encoder(model, 1, 8).projector
    assert [type(layer) for layer in projector] == kinds
    assert projector[-1].out_features == 5
    assert projector[0].out_features == (5 if layers == 1 else 7)


def test_no_dropout_of_the_head_parts_a_query_from_its_key():
    for name in ("efficientnet_b0", "squeezenet1_1", "googlenet"):
        with torch.device("meta"):
            encoder = build_encoder(ModelConfig(backbone=name), 3, 96)
        assert not [module for module in encoder.modules() if type(module) is nn.Dropout]


def test_an_unknown_backbone_is_refused_and_the_nearest_is_named():
    with pytest.raises(ConfigError, match=r"model.backbone is 'resnet81'.*'resnet8'"):
        build_encoder(ModelConfig(backbone="resnet81"), 1, 8)
    with pytest.raises(ConfigError, match="did you mean '"):
        build_encoder(ModelConfig(backbone="???"), 1, 8)


@pytest.mark.parametrize("name", ["alexnet", "vit_b_16"])
def test_a_backbone_that_cannot_take_the_images_is_refused(name):
    with (
        torch.device("meta"),
        pytest.raises(ConfigError, match=f"'{name}', but it cannot take images of 28 x 28 px"),
    ):
        build_encoder(ModelConfig(backbone=name), 1, 28)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.999, 1.0])
def test_the_momentum_update_moves_parameters_by_its_formula_and_no_buffer(momentum):
    query = build_encoder(ModelConfig(width=2), 1, 8).double()
    key = copy.deepcopy(query).requires_grad_(False)
    for tensor in (*query.parameters(), *query.buffers()):
        tensor.data = torch.rand_like(tensor.double()).to(tensor.dtype) + 1
    before = {name: tensor.clone() for name, tensor in key.state_dict().items()}
    momentum_update(query, key, momentum)
    moved = dict(query.named_parameters())
    for name, tensor in key.state_dict().items():
        expected = before[name]
        if name in moved:
            expected = momentum * expected + (1 - momentum) * moved[name].detach()
        torch.testing.assert_close(tensor, expected, rtol=1e-12, atol=1e-12)


def test_the_key_encoder_starts_equal_without_sharing_anything():
    pair = EncoderPair(build_encoder(ModelConfig(width=2), 1, 8))
    for mine, other in zip(pair.query.parameters(), pair.key.parameters(), strict=True):
        assert torch.equal(mine, other)
        assert mine.data_ptr() != other.data_ptr()
        assert mine.requires_grad
        assert not other.requires_grad
