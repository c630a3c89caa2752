"""Conformance of views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from raymoco.config import DataConfig
from raymoco.data.views.build import Views, build_views, resolve_views
from raymoco.data.views.two_views import Normalize
from raymoco.registry import NAME

BATCH = 8
# operations that read a value from the device, or copy one to it, so that a step waits
WAITING = {"_local_scalar_dense", "nonzero", "item", "lift_fresh", "_linalg_check_errors"}


def check_views(
    views: str,
    *,
    channels: int = 3,
    image_size: int = 32,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    device: str = "cpu",
    **options: Any,
) -> None:
    """Check that a training can use views: test every promise of `Views` on random images.

    Args:
        views: the value of `data.views`, such as `mylab.views:TwoCrops`.
        channels: 1 or 3.
        image_size: side of the images and views in pixels.
        mean: per channel, in 0-1; default 0.4.
        std: per channel, in 0-1; default 0.2.
        device: of the batches. On `cuda` every wait for the GPU is found; on the CPU most of them.
        options: the options beside the name.
    Raises:
        AssertionError: a promise is not kept; says which.
        ConfigError: the views cannot be constructed at all.
    """
    mean = [0.4] * channels if mean is None else list(mean)
    std = [0.2] * channels if std is None else list(std)
    named = DataConfig(views={NAME: views, **options}).views
    place = torch.device(device)

    def build(where: torch.device) -> Views:
        return build_views(
            resolve_views(named, "", channels),
            channels=channels,
            image_size=image_size,
            mean=mean,
            std=std,
            device=where,
        )

    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = (BATCH, channels, image_size, image_size)
        images = torch.randint(0, 256, shape, dtype=torch.uint8).to(place)
        built = build(place)
        _check_shapes(built, images, image_size)
        _check_randomness(built, images)
        _check_to_pixels(built, images, Normalize(mean, std).to(place))
        _check_device(built, images)
        _check_without_values(build, shape, named)


def _seeded(views: Views, images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    view_a, view_b = views(images)
    return view_a, view_b


def _check_shapes(views: Views, images: Tensor, size: int) -> None:
    for batch in (images, images[:1]):
        before = batch.clone()
        found: object = views(batch)
        assert isinstance(found, tuple | list), (
            f"views give {type(found).__name__}, but must give two tensors"
        )
        assert len(found) == 2, f"views give {len(found)} tensors, but must give two"
        wanted = (len(batch), batch.shape[1], size, size)
        for view in found:
            assert isinstance(view, Tensor), (
                f"a view is {type(view).__name__}, but must be a Tensor"
            )
            assert tuple(view.shape) == wanted, (
                f"a view of {tuple(batch.shape)} has the shape {tuple(view.shape)}, but must have "
                f"{wanted}"
            )
            assert view.dtype == torch.float32, f"a view is {view.dtype}, but must be float32"
            assert view.device == batch.device, (
                f"a view lies on {view.device}, but its batch on {batch.device}"
            )
            assert not view.requires_grad, "a view has a gradient: make views under no_grad"
            assert bool(view.isfinite().all()), "a view has a pixel that is NaN or infinite"
        assert torch.equal(batch, before), "the batch itself is changed: views must be copies"


def _check_randomness(views: Views, images: Tensor) -> None:
    view_a, view_b = _seeded(views, images, 1)
    assert not torch.equal(view_a, view_b), "the two views are the same: nothing is to be learned"
    again = _seeded(views, images, 1)
    same = torch.equal(view_a, again[0]) and torch.equal(view_b, again[1])
    assert same, (
        "with the same seed the views are others: take all random numbers from torch's generator "
        "(torch.manual_seed), or no run can be repeated or resumed"
    )
    other = _seeded(views, images, 2)
    assert not torch.equal(view_a, other[0]), "with another seed the views are the same"
    assert not torch.equal(_seeded(views, 255 - images, 1)[0], view_a), (
        "views of other images are the same: they do not depend on the images"
    )
    copies = images[:1].expand_as(images)
    for view in _seeded(views, copies, 1):
        kinds = len({row.cpu().numpy().tobytes() for row in view})
        assert kinds > 1, (
            f"{len(copies)} copies of an image have one view: each image must have random numbers "
            "of its own, not one for the batch"
        )


def _check_to_pixels(views: Views, images: Tensor, normalize: Normalize) -> None:
    found: object = views.to_pixels(normalize(images))
    assert isinstance(found, Tensor), f"to_pixels gives {type(found).__name__}, but must a Tensor"
    assert found.dtype == torch.uint8, f"to_pixels gives {found.dtype}, but must give uint8"
    assert found.shape == images.shape, (
        f"to_pixels makes {tuple(found.shape)} of {tuple(images.shape)}, but must keep the shape"
    )
    apart = int((found.int() - images.int()).abs().max())
    assert apart <= 1, (
        f"to_pixels does not undo (pixels / 255 - mean) / std: a pixel comes back {apart} levels "
        "away. Encoders are judged on images that are normalized so"
    )


class _Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Records operations that make the host wait for a device or copy to it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.name().removeprefix("aten::").split(".")[0]
        if name in WAITING:
            self.seen.add(name)
        return func(*args, **(kwargs or {}))


def _check_device(views: Views, images: Tensor) -> None:
    """Check that after the first batch a step reads no value from the device."""
    with _Waits() as waits:
        views(images)
    assert not waits.seen, (
        f"a batch needs {', '.join(sorted(waits.seen))} on the host: every step would wait for the "
        "device. Draw on the device of the batch, choose with torch.where, and make constants once"
    )
    if images.is_cuda:
        torch.cuda.set_sync_debug_mode("error")
        try:
            views(images)
        except RuntimeError as error:
            raise AssertionError(f"a batch waits for the GPU: {error}") from error
        finally:
            torch.cuda.set_sync_debug_mode("default")


def _check_without_values(build: Any, shape: tuple[int, ...], named: object) -> None:
    """Check on the meta device, where anything that needs a value fails."""
    meta = torch.device("meta")
    try:
        build(meta)(torch.empty(shape, dtype=torch.uint8, device=meta))
    except (RuntimeError, NotImplementedError, TypeError) as error:
        reason = str(error).split("\n")[0]
        raise AssertionError(
            f"{named} cannot be made without the values of the pixels, on torch's meta device: it "
            f"takes them to the host (.numpy(), .tolist()), or has tensors that do not move with "
            f"the batch: {reason}"
        ) from error
