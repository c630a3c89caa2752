"""A small residual network for CPUs and small images."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from raymoco.config import Count, StrictModel


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, in, H, W) -> (B, out, H / stride, W / stride).

    torchvision has the same block, but every process of a gang would take seconds to import it.
    Source: He et al. 2016, arXiv:1512.03385, option B shortcuts. Deviation: none.
    """

    def __init__(self, planes_in: int, planes_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(planes_in, planes_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes_out)
        self.conv2 = nn.Conv2d(planes_out, planes_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes_out)
        # the shortcut selects every stride-th pixel and then convolves, with the same result:
        # oneDNN corrupts the heap in the backward pass of a strided 1x1 convolution of fewer than 8
        # channels-last channels (torch 2.14.1, AVX2)
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or planes_in != planes_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(planes_in, planes_out, 1, bias=False), nn.BatchNorm2d(planes_out)
            )

    def forward(self, images: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(images)), inplace=True)
        out = self.bn2(self.conv2(out))
        kept = images[:, :, :: self.stride, :: self.stride]
        return F.relu(out + self.shortcut(kept), inplace=True)


def build_resnet8(width: int, channels: int) -> tuple[nn.Module, int]:
    """Build a 3x3 stem and three one-block stages of w, 2w, 4w channels; return it and F = 4w."""
    layers: list[tuple[str, nn.Module]] = [
        ("conv", nn.Conv2d(channels, width, 3, padding=1, bias=False)),
        ("bn", nn.BatchNorm2d(width)),
        ("relu", nn.ReLU(inplace=True)),
        ("stage1", BasicBlock(width, width, 1)),
        ("stage2", BasicBlock(width, 2 * width, 2)),
        ("stage3", BasicBlock(2 * width, 4 * width, 2)),
        ("pool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
    ]
    backbone = nn.Sequential(OrderedDict(layers))
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return backbone, 4 * width


class ResNet8Options(StrictModel):
    """The option `model.width`."""

    width: Count = 16


def resnet8(*, channels: int, image_size: int, options: ResNet8Options) -> nn.Module:
    """`model.backbone: resnet8`, see `build_resnet8`; it takes images of any size."""
    backbone, features = build_resnet8(options.width, channels)
    backbone.feature_dim = features  # type: ignore[assignment]  # a number, not a module
    return backbone
