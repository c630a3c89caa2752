"""Encoders: a backbone with a projector, and the momentum copy that computes the keys."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raymoco.choices import BACKBONES
from raymoco.config import ModelConfig, ProjectorConfig
from raymoco.errors import ConfigError
from raymoco.registry import name_of
from raymoco.ssl.backbones import TorchvisionBackbone
from raymoco.ssl.query_gradient import widen


class Encoder(nn.Module):
    """A backbone and a projector: maps an image to a point on the unit sphere.

    Args:
        backbone: from images (B, C, H, W) to features (B, F).
        projector: from features (B, F) to (B, D).
        feature_dim: F.
        dim: D.
    """

    def __init__(
        self, backbone: nn.Module, projector: nn.Module, feature_dim: int, dim: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector
        self.feature_dim = feature_dim
        self.dim = dim

    def features(self, images: Tensor) -> Tensor:
        """Return backbone features (B, F) of images (B, C, H, W), which evaluations use."""
        features: Tensor = self.backbone(images)
        return features.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Return L2-normalized projections (B, D) of images (B, C, H, W), at least fp32."""
        return F.normalize(widen(self.projector(self.features(images))), dim=1)


class EncoderPair(nn.Module):
    """A query encoder and its copy, the key encoder, which gets no gradient.

    At first the copy is equal, including buffers; `move_key` then moves it after the query encoder.
    """

    def __init__(self, query: nn.Module) -> None:
        super().__init__()
        self.query = query
        # clone the tensors here: deepcopy would clone a FakeTensor's mode as well
        copies: dict[int, object] = {id(buffer): buffer.clone() for buffer in query.buffers()}
        for parameter in query.parameters():
            copies[id(parameter)] = nn.Parameter(parameter.detach().clone(), requires_grad=False)
        self.key = copy.deepcopy(query, copies)

    def move_key(self, momentum: float) -> None:
        """Move the key encoder's parameters: key = momentum * key + (1 - momentum) * query."""
        momentum_update(self.query, self.key, momentum)


@torch.no_grad()
def momentum_update(query_encoder: nn.Module, key_encoder: nn.Module, momentum: float) -> None:
    """Move the key encoder's parameters in place: key = m * key + (1 - m) * query.

    Buffers do not change: the key encoder's batch norm keeps its own statistics.

    Args:
        query_encoder: the encoder that the optimizer moves.
        key_encoder: its copy.
        momentum: m, 0 <= m <= 1.
    Source: He et al. 2020, arXiv:1911.05722, eq. 2. Deviation: none.
    """
    torch._foreach_lerp_(
        list(key_encoder.parameters()), list(query_encoder.parameters()), 1.0 - momentum
    )


def build_encoder(model: ModelConfig, channels: int, image_size: int) -> Encoder:
    """Build an untrained encoder for square images.

    The backbone is raymoco's `resnet8` (`width` channels in its first stage), any classifier of
    torchvision without its last layer and the dropout of its head, or a third-party
    `package.module:Name`. With `stem: cifar` torchvision's ResNets get a 3x3 stride-1 stem without
    pooling, with `auto` they do for images up to 64 px.

    Args:
        model: backbone, width and projector.
        channels: channels of the images, >= 1.
        image_size: height and width, px.
    Raises:
        ConfigError: no backbone has that name (names the nearest), or it cannot take images of
            that size.
    Source: the MLP projector is Chen et al. 2020 (MoCo v2), arXiv:2003.04297. Deviation: 1 to 3
        layers.
    """
    try:
        backbone = _build_backbone(model, channels, image_size)
        feature_dim = count_features(backbone, channels, image_size)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"model.backbone is '{name_of(model.backbone)}', but it cannot take images of "
            f"{image_size} x {image_size} px with {channels} channels: {error}"
        ) from error
    projector = build_projector(model.projector, feature_dim)
    return Encoder(backbone, projector, feature_dim, model.projector.dim)


def _build_backbone(model: ModelConfig, channels: int, image_size: int) -> nn.Module:
    found = BACKBONES.load(model.backbone)
    if isinstance(found, TorchvisionBackbone):
        BACKBONES.options(model.backbone, found)  # refuses any
        return found(channels=channels, image_size=image_size, stem=model.stem)
    if model.stem != "auto":
        raise ConfigError(
            f"model.stem is {model.stem}, but only torchvision's ResNets have that choice, and "
            f"model.backbone is {name_of(model.backbone)}."
        )
    ours: nn.Module = BACKBONES.make(
        model.backbone, beside=model.model_dump(), channels=channels, image_size=image_size
    )
    return ours


def count_features(backbone: nn.Module, channels: int, image_size: int) -> int:
    """Return F: the backbone's `feature_dim`, or the result of a forward pass on meta tensors."""
    said = getattr(backbone, "feature_dim", None)
    if isinstance(said, int):
        return said
    state = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in backbone.state_dict().items()
    }
    state |= {  # buffers that the state dict leaves out
        name: torch.empty_like(buffer, device="meta") for name, buffer in backbone.named_buffers()
    }
    images = torch.empty(2, channels, image_size, image_size, device="meta")
    backbone.eval()
    features: Tensor = torch.func.functional_call(backbone, state, (images,))
    backbone.train()
    return features.flatten(1).shape[1]


def build_projector(projector: ProjectorConfig, feature_dim: int) -> nn.Sequential:
    """Build linear layers from (B, F) to (B, D) with ReLUs between them."""
    dims = [feature_dim, *[projector.hidden] * (projector.layers - 1), projector.dim]
    layers: list[nn.Module] = []
    for dim_in, dim_out in pairwise(dims):
        layers += [nn.Linear(dim_in, dim_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])
