"""Encoders: a backbone, a projector, and the slow copy that makes the keys."""

from __future__ import annotations

import copy
import difflib
from collections import OrderedDict
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock

from raymoco.config import ModelConfig, ProjectorConfig
from raymoco.errors import ConfigError
from raymoco.ssl.gradient import widen

SMALL_IMAGE = 64  # px: up to here a ResNet's 7x7 stride-2 stem and its pooling would lose too much
_CLASSES = 1009  # no layer but the classifier has this many outputs: that is how it is found


class Encoder(nn.Module):
    """A backbone and a projector: an image becomes a point on the unit sphere.

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
        """What an evaluation uses: backbone features (B, F) of images (B, C, H, W)."""
        features: Tensor = self.backbone(images)
        return features.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """L2-normalised projections (B, D) of images (B, C, H, W), at least fp32."""
        return F.normalize(widen(self.projector(self.features(images))), dim=1)


class EncoderPair(nn.Module):
    """A query encoder and its copy, the key encoder, which no gradient reaches.

    The copy starts equal, buffers included; later it follows by `move_key`.
    """

    def __init__(self, query: nn.Module) -> None:
        super().__init__()
        self.query = query
        # the tensors are cloned here, not by deepcopy: that would clone a FakeTensor's mode as well
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

    Buffers stay: the key encoder's batch norm keeps its own statistics.

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
    """An untrained encoder for square images.

    The backbone is `resnet8` (ours, `width` channels in its first stage) or any classifier of
    torchvision without its last layer and the dropout of its head. ResNets get a 3x3 stride-1 stem
    without pooling for images up to 64 px.

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
        feature_dim = _feature_dim(backbone, channels, image_size)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"model.backbone is '{model.backbone}', but it cannot take images of {image_size} x "
            f"{image_size} px with {channels} channels: {error}"
        ) from error
    projector = build_projector(model.projector, feature_dim)
    return Encoder(backbone, projector, feature_dim, model.projector.dim)


def build_projector(projector: ProjectorConfig, feature_dim: int) -> nn.Sequential:
    """Linear layers from (B, F) to (B, D) with a ReLU between them."""
    dims = [feature_dim, *[projector.hidden] * (projector.layers - 1), projector.dim]
    layers: list[nn.Module] = []
    for dim_in, dim_out in pairwise(dims):
        layers += [nn.Linear(dim_in, dim_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def backbone_names() -> list[str]:
    """Every name that `model.backbone` may have."""
    return ["resnet8", *models.list_models(module=models)]


def _build_backbone(model: ModelConfig, channels: int, image_size: int) -> nn.Module:
    name = model.backbone
    if name == "resnet8":
        return _build_resnet8(model.width, channels)
    if name not in backbone_names():
        (near,) = difflib.get_close_matches(name, backbone_names(), n=1, cutoff=0.0)
        raise ConfigError(
            f"model.backbone is '{name}', but must be resnet8 or a classifier of torchvision; did "
            f"you mean '{near}'?"
        )
    options: dict[str, Any] = {"num_classes": _CLASSES}
    if name.startswith("vit_"):
        options["image_size"] = image_size
    elif name.startswith("maxvit"):
        options["input_size"] = (image_size, image_size)
    elif name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    backbone: nn.Module = models.get_model(name, weights=None, **options)
    _drop_classifier(backbone)
    _fit_stem(backbone, channels, image_size)
    return backbone


def _build_resnet8(width: int, channels: int) -> nn.Sequential:
    """A 3x3 stem and three one-block stages of w, 2w and 4w channels: 4w features."""
    stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    layers: list[tuple[str, nn.Module]] = [
        ("stem", nn.Sequential(stem, nn.BatchNorm2d(width), nn.ReLU(inplace=True))),
        ("stage1", _build_block(width, width, 1)),
        ("stage2", _build_block(width, 2 * width, 2)),
        ("stage3", _build_block(2 * width, 4 * width, 2)),
        ("pool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
    ]
    return nn.Sequential(OrderedDict(layers))


def _build_block(planes_in: int, planes_out: int, stride: int) -> BasicBlock:
    downsample = None
    if stride != 1 or planes_in != planes_out:
        downsample = nn.Sequential(
            nn.Conv2d(planes_in, planes_out, 1, stride=stride, bias=False),
            nn.BatchNorm2d(planes_out),
        )
    block = BasicBlock(planes_in, planes_out, stride, downsample)
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return block


def _drop_classifier(backbone: nn.Module) -> None:
    """Put the identity where the classifier's last layer and its dropout were."""
    path = next(
        path
        for path, module in reversed(list(backbone.named_modules()))
        if _CLASSES in (getattr(module, "out_features", 0), getattr(module, "out_channels", 0))
    )
    _replace(backbone, path, nn.Identity())
    top = path.split(".")[0]
    for name, module in list(backbone.named_modules()):
        # that dropout regularised the classifier; here it would only part the query from its key
        if isinstance(module, nn.Dropout) and (name == "dropout" or name.split(".")[0] == top):
            _replace(backbone, name, nn.Identity())


def _fit_stem(backbone: nn.Module, channels: int, image_size: int) -> None:
    """Fit the first convolution to the images, and that of a ResNet to small ones."""
    path, stem = next(
        (path, module) for path, module in backbone.named_modules() if isinstance(module, nn.Conv2d)
    )
    small = isinstance(backbone, models.ResNet) and image_size <= SMALL_IMAGE
    if small:
        backbone.maxpool = nn.Identity()
    elif stem.in_channels == channels:
        return
    new = nn.Conv2d(
        channels,
        stem.out_channels,
        3 if small else stem.kernel_size,  # type: ignore[arg-type]  # a tuple of two
        stride=1 if small else stem.stride,  # type: ignore[arg-type]
        padding=1 if small else stem.padding,  # type: ignore[arg-type]
        bias=stem.bias is not None,
    )
    if isinstance(backbone, models.ResNet):
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    _replace(backbone, path, new)


def _replace(module: nn.Module, path: str, new: nn.Module) -> None:
    parent, _, leaf = path.rpartition(".")
    setattr(module.get_submodule(parent), leaf, new)


def _feature_dim(backbone: nn.Module, channels: int, image_size: int) -> int:
    """F, from a forward pass of shapes alone: no memory, no arithmetic."""
    state = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in backbone.state_dict().items()
    }
    state |= {  # what the state dict leaves out
        name: torch.empty_like(buffer, device="meta") for name, buffer in backbone.named_buffers()
    }
    images = torch.empty(2, channels, image_size, image_size, device="meta")
    backbone.eval()
    features: Tensor = torch.func.functional_call(backbone, state, (images,))
    backbone.train()
    return features.flatten(1).shape[1]
