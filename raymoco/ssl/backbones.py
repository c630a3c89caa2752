"""Backbones from torchvision: any classifier without its head, its stem fitted to the images."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torchvision import models

from raymoco.choices import BACKBONES
from raymoco.errors import ConfigError

Stem = Literal["auto", "cifar", "imagenet"]
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

    def __call__(self, *, channels: int, image_size: int, stem: Stem = "auto") -> nn.Module:
        options = _options(self.name, image_size)
        backbone: nn.Module = models.get_model(
            self.name, weights=None, num_classes=_CLASSES, **options
        )
        _drop_classifier(backbone)
        _fit_stem(backbone, channels, image_size, stem)
        return backbone


def is_torchvisions(name: str) -> bool:
    """Whether a backbone is a classifier of torchvision."""
    return name in models.list_models(module=models)


def loading_lines(
    name: str,
    *,
    channels: int,
    image_size: int,
    stem: Stem = "auto",
    package: Literal["torchvision", "timm"] = "torchvision",
) -> list[str]:
    """Python that makes torchvision's or timm's own model take the weights of a backbone.

    Args:
        name: of a classifier of torchvision; for timm, of a ResNet.
        channels, image_size, stem: as the backbone was built.
    Returns:
        Lines that leave the model, without its classifier and in eval mode, in `model`.
    """
    with torch.device("meta"):
        ours = TorchvisionBackbone(name)(channels=channels, image_size=image_size, stem=stem)
        options = _options(name, image_size)
        theirs = models.get_model(name, weights=None, num_classes=_CLASSES, **options)
    said = "".join(f", {key}={value!r}" for key, value in options.items()).removeprefix(", ")
    lines = ["import torchvision", f"model = torchvision.models.{name}({said})"]
    if package == "timm":
        lines = ["import timm", f'model = timm.create_model("{name}", num_classes=0)']
    plain = dict(theirs.named_modules())
    for path, module in ours.named_modules():
        if any(module.children()) or repr(module) == repr(plain[path]):
            continue
        if package == "timm" and path == "fc":
            continue  # num_classes=0 leaves it out
        place = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", path)
        lines.append(f"model.{place} = torch.nn.{module!r}")
    return [*lines, "model.eval()"]


def _options(name: str, image_size: int) -> dict[str, Any]:
    """What some of torchvision's models need to know."""
    if name.startswith("vit_"):
        return {"image_size": image_size}
    if name.startswith("maxvit"):
        return {"input_size": (image_size, image_size)}
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    return {}


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


def _fit_stem(backbone: nn.Module, channels: int, image_size: int, said: Stem) -> None:
    """Fit the first convolution to the channels, and a ResNet's to small images.

    Raises:
        ConfigError: a stem is asked for, but the backbone is no ResNet.
    """
    resnet = isinstance(backbone, models.ResNet)
    if said != "auto" and not resnet:
        raise ConfigError(f"model.stem is {said}, but only torchvision's ResNets have that choice.")
    path, stem = next(
        (path, module) for path, module in backbone.named_modules() if isinstance(module, nn.Conv2d)
    )
    small = resnet and (said == "cifar" or (said == "auto" and image_size <= SMALL_IMAGE))
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
    if resnet:
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    _replace(backbone, path, new)


def _replace(module: nn.Module, path: str, new: nn.Module) -> None:
    parent, _, leaf = path.rpartition(".")
    setattr(module.get_submodule(parent), leaf, new)
