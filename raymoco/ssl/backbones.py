"""Backbones from torchvision: any classifier, its head taken off, its stem fitted to the images."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from raymoco.config import ModelConfig
from raymoco.errors import ConfigError

SMALL_IMAGE = 64  # px: up to here a ResNet's 7x7 stride-2 stem and its pooling would lose too much
_CLASSES = 1009  # no layer but the classifier has this many outputs: that is how it is found


def backbone_names() -> list[str]:
    """Every name that `model.backbone` may have."""
    return ["resnet8", *models.list_models(module=models)]


def build_torchvision(model: ModelConfig, channels: int, image_size: int) -> tuple[nn.Module, int]:
    """A classifier of torchvision without its last layer, fitted to the images; and F.

    Raises:
        ConfigError: torchvision has none of that name, or it cannot take such images.
    """
    backbone = _find(model, image_size)
    try:
        _fit_stem(backbone, channels, image_size)
        return backbone, _feature_dim(backbone, channels, image_size)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"model.backbone is '{model.backbone}', but it cannot take images of {image_size} x "
            f"{image_size} px with {channels} channels: {error}"
        ) from error


def _find(model: ModelConfig, image_size: int) -> nn.Module:
    name = model.backbone
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
    try:
        backbone: nn.Module = models.get_model(name, weights=None, **options)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"model.backbone is '{name}', but it cannot take images of {image_size} x "
            f"{image_size} px: {error}"
        ) from error
    _drop_classifier(backbone)
    return backbone


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
        # that dropout regularized the classifier; here it would only part the query from its key
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
