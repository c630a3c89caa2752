"""Two views of a batch: raymoco's, kornia's batched operations, torchvision's image by image."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from benchmarks.photographs import crops
from benchmarks.tables import Table
from benchmarks.timing import interleaved
from raymoco.data.views.build import build_views
from raymoco.data.views.color import BLUR_RADIUS
from raymoco.data.views.two_views import BLUR_ABOVE

THREADS = 2
SIZES = ((28, "grey", 256), (32, "colour", 256), (96, "colour", 64), (224, "colour", 16))


def run(quick: bool) -> list[Table]:
    """One table; kornia's rows need the extra `bench`."""
    torch.set_num_threads(THREADS)
    table = Table(
        f"Two MoCo v2 views of real photographs, {THREADS} threads",
        ["px", "recipe", "who", "images/s", "ms a batch, min to max", "raymoco / this"],
    )
    for size, recipe, batch in SIZES:
        pixels = crops(batch, size)
        work = {"raymoco": _ours(pixels, recipe)}
        if importlib.util.find_spec("kornia") is not None:
            work["kornia"] = _kornia(pixels, recipe)
        work["torchvision, image by image"] = _torchvision(pixels, recipe)
        found = interleaved(work, 3 if quick else 9)
        for name, timing in found.items():
            rate = batch / timing.median
            table.add(size, recipe, name, rate, timing.spread, timing.over(found["raymoco"]))
    table.notes.append(
        "Gray: crop, flip, brightness, contrast. Color: crop, flip, color jitter, grayscale, and "
        f"above {BLUR_ABOVE} px blur. torchvision's row is one process; a DataLoader would give it "
        "both cores and take them from the network."
    )
    return [table]


def _ours(pixels: object, recipe: str) -> Callable[[], object]:
    images = torch.as_tensor(pixels).permute(0, 3, 1, 2).contiguous()
    if recipe == "grey":
        images = images[:, :1].contiguous()
    channels, size = images.shape[1], images.shape[2]
    mean, std = [0.5] * channels, [0.25] * channels
    views = build_views(recipe, channels=channels, image_size=size, mean=mean, std=std)
    return lambda: views(images)


def _kornia(pixels: object, recipe: str) -> Callable[[], object]:
    from kornia import augmentation

    images = torch.as_tensor(pixels).permute(0, 3, 1, 2).contiguous()
    if recipe == "grey":
        images = images[:, :1].contiguous()
    channels, size = images.shape[1], images.shape[2]
    gray = recipe == "grey"
    operations: list[nn.Module] = [
        augmentation.RandomResizedCrop((size, size), scale=(0.3 if gray else 0.2, 1.0)),
        augmentation.RandomHorizontalFlip(),
    ]
    if gray:
        operations.append(augmentation.ColorJitter(0.4, 0.4, p=1.0))
    else:
        operations.append(augmentation.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8))
        operations.append(augmentation.RandomGrayscale(p=0.2))
    if size > BLUR_ABOVE:
        kernel = 2 * BLUR_RADIUS + 1
        operations.append(augmentation.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=0.5))
    operations.append(
        augmentation.Normalize(torch.full((channels,), 0.5), torch.full((channels,), 0.25))
    )
    view = nn.Sequential(*operations)

    def both() -> Tensor:
        with torch.no_grad():
            return view(torch.cat([images, images]).float() / 255)

    return both


def _torchvision(pixels: object, recipe: str) -> Callable[[], object]:
    arrays = torch.as_tensor(pixels).numpy()
    gray = recipe == "grey"
    images = [Image.fromarray(array[:, :, 0] if gray else array) for array in arrays]
    size, channels = arrays.shape[1], 1 if gray else 3
    operations = [
        transforms.RandomResizedCrop(size, scale=(0.3 if gray else 0.2, 1.0)),
        transforms.RandomHorizontalFlip(),
    ]
    if gray:
        operations.append(transforms.ColorJitter(0.4, 0.4))
    else:
        jitter = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
        operations += [transforms.RandomApply([jitter], 0.8), transforms.RandomGrayscale(0.2)]
    if size > BLUR_ABOVE:
        blur = transforms.GaussianBlur(2 * BLUR_RADIUS + 1, (0.1, 2.0))
        operations.append(transforms.RandomApply([blur], 0.5))
    operations += [
        transforms.ToTensor(),
        transforms.Normalize([0.5] * channels, [0.25] * channels),
    ]
    view = transforms.Compose(operations)
    return lambda: [torch.stack([view(image) for image in images]) for _ in range(2)]
