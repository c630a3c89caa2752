"""Backbones from torchvision: any classifier without its head, its stem fitted to the images."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from torch import nn
from torchvision import models

from raymoco.choices import BACKBONES
from raymoco.errors import ConfigError

SMALL_IMAGE = 64  # px: up to here a ResNet's 7x7 stride-2 stem and its pooling lose too much
_CLASSES = 1009  # the classifier layer is found by this number of outputs, which no other layer has


def backbone_names() -> list[str]:
    """Every short name that `model.backbone` may have."""
    return [*BACKBONES.names, *models.list_models(module=models)]


def torchvision_classifier(name: str) -> TorchvisionBackbone:
    """Return the backbone of that name.

    Raises:
        ConfigError: torchvision has no such classifier; names the nearest.
    """
    if name not in models.list_models(module=models):
        (near,) = difflib.get_close_matches(name, backbone_names(), n=1, cutoff=0.0)
        raise ConfigError(
            f"model.backbone is '{name}', but must be one of {', '.join(BACKBONES.names)}, a "
            f"classifier of torchvision, or your own package.module:Name; did you mean '{near}'?"
        )
    return TorchvisionBackbone(name)


@dataclass(frozen=True)
class TorchvisionBackbone:
    """Builds a torchvision classifier without its last layer, fitted to the size of the images."""

    name: str

    def __call__(self, *, channels: int, image_size: int) -> nn.Module:
        options: dict[str, Any] = {"num_classes": _CLASSES}
        if self.name.startswith("vit_"):
            options["image_size"] = image_size
        elif self.name.startswith("maxvit"):
            options["input_size"] = (image_size, image_size)
        elif self.name in ("googlenet", "inception_v3"):
            options |= {"aux_logits": False, "init_weights": True}
        backbone: nn.Module = models.get_model(self.name, weights=None, **options)
        _drop_classifier(backbone)
        _fit_stem(backbone, channels, image_size)
        return backbone


def _drop_classifier(backbone: nn.Module) -> None:
    """Replace the classifier's last layer and its dropout by the identity."""
    path = next(
        path
        for path, module in reversed(list(backbone.named_modules()))
        if _CLASSES in (getattr(module, "out_features", 0), getattr(module, "out_channels", 0))
    )
    _replace(backbone, path, nn.Identity())
    top = path.split(".")[0]
    for name, module in list(backbone.named_modules()):
        # the dropout regularized the classifier; here it would only make query and key differ
        if isinstance(module, nn.Dropout) and (name == "dropout" or name.split(".")[0] == top):
            _replace(backbone, name, nn.Identity())


def _fit_stem(backbone: nn.Module, channels: int, image_size: int) -> None:
    """Fit the first convolution to the channels, and a ResNet's to small images."""
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
