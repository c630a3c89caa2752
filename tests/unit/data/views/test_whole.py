"""Views of whole photographs: their shape, where they are cut, and how large."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision.transforms import RandomResizedCrop

from raymoco.config import DataConfig
from raymoco.config.views import RECIPES
from raymoco.data.views.build import build_views
from raymoco.data.views.two_views import _crop_sizes
from raymoco.data.views.whole import aspects, canvas_shape, canvas_side, is_canvas, to_canvas

STILL = {"recipe": "grey", "crop_scale": [1, 1], "crop_ratio": [1, 1], "flip": 0, "jitter": 0}


def canvases(photo, copies=1, image_size=64):
    pixels = np.asarray(photo)
    chw = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    canvas = to_canvas(chw, 3, image_size)
    return torch.from_numpy(canvas).expand(copies, -1, -1, -1)


def views_of(images, size=48, seed=0, **options):
    views = DataConfig(views={**STILL, **options}).views
    built = build_views(views, channels=3, image_size=size, mean=[0.5] * 3, std=[0.25] * 3)
    torch.manual_seed(seed)
    return built.to_pixels(built(images)[0])


@pytest.mark.parametrize("size", [(300, 200), (7, 500), (70_000, 10), (64, 64)])
def test_a_canvas_carries_the_shape_of_its_photograph(size):
    canvas = canvases(Image.new("L", size, 9))
    assert tuple(canvas.shape[2:]) == canvas_shape(64)
    assert is_canvas(canvas)
    assert not is_canvas(canvas[:, :, :-1])
    assert aspects(canvas).item() == pytest.approx(size[0] / size[1], rel=0.05)


def test_a_disc_in_an_oblong_photograph_is_round_in_every_view():
    photo = Image.new("RGB", (320, 160), "black")
    ImageDraw.Draw(photo).ellipse((130, 50, 190, 110), fill="white")
    seen = 0
    for view in views_of(canvases(photo, 40), crop_scale=[0.3, 1]):
        disc = view[0] > 128
        wide, high = (int(disc.any(dim).sum()) for dim in (0, 1))
        border = disc[0].any() or disc[-1].any() or disc[:, 0].any() or disc[:, -1].any()
        if disc.any() and not border:
            seen += 1
            assert abs(wide - high) <= 2
    assert seen > 10


def test_a_turn_of_an_oblong_photograph_does_not_shear_it():
    photo = Image.new("RGB", (320, 160), "black")
    ImageDraw.Draw(photo).rectangle((140, 60, 180, 100), fill="white")
    straight = (views_of(canvases(photo, 60), crop_scale=[0.9, 1])[:, 0] > 128).flatten(1).sum(1)
    turned = (
        (views_of(canvases(photo, 60), crop_scale=[0.9, 1], rotation=45)[:, 0] > 128)
        .flatten(1)
        .sum(1)
    )
    # a turn keeps the area of a square that is inside
    assert turned.float().quantile(0.9) == pytest.approx(
        float(straight.float().quantile(0.9)), rel=0.1
    )


def test_views_show_what_lies_beside_the_center_square():
    photo = np.zeros((100, 300, 3), np.uint8)
    photo[:, :60] = (255, 0, 0)
    photo[:, -60:] = (0, 0, 255)
    views = views_of(canvases(photo, 100), crop_scale=[0.05, 0.3]).float().mean((2, 3))
    assert (views[:, 0] > 100).any()  # red: the left end
    assert (views[:, 2] > 100).any()  # blue: the right end


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (900, 300), (300, 3000)])
@pytest.mark.parametrize("recipe", ["grey", "colour"])
def test_crops_of_photographs_are_as_large_as_torchvisions(size, recipe):
    torch.manual_seed(0)
    chosen, (wide, high) = RECIPES[recipe], size
    width, height = _crop_sizes(
        chosen, 20_000, torch.device("cpu"), torch.full((20_000,), wide / high)
    )
    theirs = torch.tensor(
        [
            RandomResizedCrop.get_params(torch.empty(1, high, wide), chosen.area, chosen.aspect)[2:]
            for _ in range(4_000)
        ]
    ).double()
    shares = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9], dtype=torch.float64)
    for ours, other in (
        (width * height, theirs.prod(dim=1) / (wide * high)),
        (width * wide / (height * high), theirs[:, 1] / theirs[:, 0]),
    ):
        assert torch.allclose(ours.double().quantile(shares), other.quantile(shares), atol=0.03)


def test_a_view_of_the_whole_of_a_square_is_the_image():
    ramp = np.broadcast_to(np.linspace(0, 200, 200).astype(np.uint8)[:, None], (200, 200))
    side = canvas_side(64)
    view = views_of(canvases(ramp), size=side)[0, 0].float()
    expected = torch.linspace(0, 200, side)[:, None].expand(side, side)
    assert (view - expected).abs().max() < 3


def test_views_of_canvases_need_no_value_from_the_device():
    views = DataConfig(views={"recipe": "colour", "rotation": 10}).views
    built = build_views(views, channels=3, image_size=48, mean=[0.5] * 3, std=[0.25] * 3,
                        device=torch.device("meta"))  # fmt: skip
    images = torch.empty((4, 3, *canvas_shape(64)), dtype=torch.uint8, device="meta")
    assert built(images)[0].shape == (4, 3, 48, 48)
