"""Two views: repeatable, different, normalized, each image with its own randomness."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import RandomResizedCrop

from raymoco.config import DataConfig
from raymoco.config.views import written_out
from raymoco.data.views.build import build_views, resolve_views
from raymoco.data.views.two_views import ColorViews, GrayViews, Normalize, _crop_sizes
from raymoco.errors import ConfigError
from raymoco.testing import check_views

CASES = [("glyph", 1, 8), ("grey", 1, 28), ("grey", 3, 16), ("colour", 3, 32), ("colour", 3, 72)]


def built(recipe, channels, size, mean, std):
    return build_views(
        recipe, channels=channels, image_size=size, mean=[mean] * channels, std=[std] * channels
    )


def views_of(recipe, channels, size, images, seed=0):
    torch.manual_seed(seed)
    return built(recipe, channels, size, 0.4, 0.2)(images)


@pytest.mark.parametrize(("recipe", "channels", "size"), CASES)
def test_views_repeat_under_a_seed_and_differ_from_each_other(recipe, channels, size):
    images = torch.randint(0, 256, (6, channels, size, size), dtype=torch.uint8)
    before = images.clone()
    view_a, view_b = views_of(recipe, channels, size, images)
    again_a, again_b = views_of(recipe, channels, size, images)
    assert torch.equal(view_a, again_a)
    assert torch.equal(view_b, again_b)
    assert not torch.allclose(view_a, view_b)
    assert not torch.allclose(view_a, views_of(recipe, channels, size, images, seed=1)[0])
    assert view_a.shape == view_b.shape == images.shape
    assert view_a.dtype == torch.float32
    assert torch.equal(images, before)


@pytest.mark.parametrize(("recipe", "channels", "size"), CASES)
def test_each_image_has_randomness_of_its_own(recipe, channels, size):
    one = torch.randint(0, 256, (1, channels, size, size), dtype=torch.uint8)
    view_a, _ = views_of(recipe, channels, size, one.expand(8, -1, -1, -1))
    assert len({view.numpy().tobytes() for view in view_a}) == 8


@pytest.mark.parametrize(("recipe", "channels", "size"), CASES)
def test_views_are_normalized_pixels_between_black_and_white(recipe, channels, size):
    images = torch.randint(0, 256, (16, channels, size, size), dtype=torch.uint8)
    view_a, view_b = views_of(recipe, channels, size, images)
    for view in (view_a, view_b):
        assert view.min() >= (0 - 0.4) / 0.2 - 1e-4
        assert view.max() <= (1 - 0.4) / 0.2 + 1e-4


def test_normalize_gives_zero_mean_and_unit_variance():
    images = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8)
    scaled = images.double() / 255
    mean, std = scaled.mean(dim=(0, 2, 3)), scaled.std(dim=(0, 2, 3))
    out = Normalize(mean.tolist(), std.tolist())(images)
    assert out.dtype == torch.float32
    assert out.mean().abs() < 1e-5
    assert abs(out.std() - 1) < 1e-3


def test_pixels_come_back_from_a_view():
    views = GrayViews(1, 8, [0.3], [0.2])
    images = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    assert torch.equal(views.to_pixels(Normalize([0.3], [0.2])(images)), images)


def test_glyphs_are_never_mirrored_and_photographs_are():
    # bright on the left: a mirrored view is brighter on the right
    images = torch.zeros(200, 1, 16, 16, dtype=torch.uint8)
    images[..., :8] = 255
    for recipe, mirrored in (("glyph", False), ("grey", True)):
        view, _ = views_of(recipe, 1, 16, images)
        left, right = view[..., 0].mean(dim=(1, 2)), view[..., -1].mean(dim=(1, 2))
        assert bool((left < right - 0.5).any()) is mirrored


@pytest.mark.parametrize("recipe", ["grey", "colour"])
def test_crops_are_as_large_as_torchvisions(recipe):
    torch.manual_seed(0)
    chosen = {"grey": GrayViews, "colour": ColorViews}[recipe].recipe
    width, height = _crop_sizes(chosen, 20_000, torch.device("cpu"))
    theirs = torch.tensor(
        [
            RandomResizedCrop.get_params(torch.empty(1, 500, 500), chosen.area, chosen.aspect)[2:]
            for _ in range(5_000)
        ]
    ).double()
    shares = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9], dtype=torch.float64)
    for ours, other in (
        (width * height, theirs.prod(dim=1) / 500**2),
        (width / height, theirs[:, 1] / theirs[:, 0]),
    ):
        reached = ours.double().quantile(shares)
        assert torch.allclose(reached, other.quantile(shares), atol=0.02)


class _Waits(TorchDispatchMode):
    """Operations that make the host wait for a device, or send it something."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix("aten::").split(".")[0]
        if name in {"_linalg_check_errors", "_local_scalar_dense", "nonzero", "lift_fresh", "item"}:
            self.seen.add(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("recipe", "channels"), [("grey", 1), ("colour", 3)])
def test_views_never_wait_for_the_device(recipe, channels):
    views = built(recipe, channels, 96, 0.5, 0.2)
    images = torch.randint(256, (4, channels, 96, 96), dtype=torch.uint8)
    views(images)
    with _Waits() as waits:
        views(images)
    assert waits.seen == set()


def with_options(recipe, channels=3, size=32, source="folder", **given):
    named = DataConfig(views={"recipe": recipe, **given}).views
    return built(resolve_views(named, source, channels), channels, size, 0.5, 0.25)


def drawn(views, images, seed=0):
    torch.manual_seed(seed)
    return views(images)[0]


@pytest.mark.parametrize("recipe", ["glyph", "grey", "colour"])
def test_a_recipe_with_its_own_values_written_out_draws_the_same_pixels(recipe):
    images = torch.randint(256, (8, 3, 72, 72), dtype=torch.uint8)
    plain = built(recipe, 3, 72, 0.5, 0.25)
    values = {key: value for key, value in written_out(recipe).items() if key != "recipe"}
    own = with_options(recipe, size=72, **values)
    # degrees are turned to radians, so that the last digit of a rotation may differ
    torch.testing.assert_close(drawn(plain, images), drawn(own, images), rtol=0, atol=1e-4)


def test_each_parameter_changes_what_its_name_says():
    still = {"flip": 0, "jitter": 0, "grayscale": 0, "blur": 0, "crop_scale": [1, 1],
             "crop_ratio": [1, 1], "rotation": 0, "shift": 0}  # fmt: skip
    # a smooth image: a view of the whole of it has the same pixels
    ramp = torch.linspace(0, 200, 32).round().to(torch.uint8)
    images = ramp.expand(40, 3, 32, 32).clone()
    images[:, 1] //= 2
    plain = with_options("colour", **still)
    assert torch.equal(plain.to_pixels(drawn(plain, images)), images)

    def changed(**given):
        views = with_options("colour", **{**still, **given})
        return views.to_pixels(drawn(views, images))

    assert torch.equal(changed(flip=1), images.flip(3))
    assert torch.equal(
        changed(solarize=1, solarize_threshold=0.5),
        torch.where(images >= 128, 255 - images, images),
    )
    gray = changed(grayscale=1)
    assert int((gray[:, 0].int() - gray[:, 1].int()).abs().max()) <= 1
    assert changed(blur=1)[..., 0].float().mean() > images[..., 0].float().mean()
    assert not torch.equal(changed(jitter=1), images)
    assert not torch.equal(changed(crop_scale=[0.2, 0.3]), images)
    black = with_options("glyph", **still | {"shift": 0.5})
    assert (black.to_pixels(drawn(black, images + 50))[..., -1] == 0).any()  # beyond the image
    half = changed(flip=0.5)
    assert 5 < (half == images).flatten(1).all(1).sum() < 35


def test_small_views_are_blurred_only_where_the_config_says_so():
    assert with_options("colour", size=32, flip=0.5)._blur == 0
    assert with_options("colour", size=96, flip=0.5)._blur == 0.5
    assert with_options("colour", size=32, blur=0.3)._blur == 0.3


def test_changes_of_color_are_refused_for_gray_images():
    with pytest.raises(ConfigError, match=r"data.views.hue is 0.1, but the images are gray"):
        with_options("auto", channels=1, hue=0.1)
    assert with_options("auto", channels=1, flip=0).parameters_of_views.flip == 0


def test_auto_with_a_parameter_is_the_recipe_of_the_source_with_it():
    views = {"recipe": "auto", "flip": 0.5}
    assert resolve_views(views, "digits", 1)["recipe"] == "glyph"
    found = resolve_views(views, "folder", 1)
    assert found == {**written_out("grey"), "flip": 0.5}
    assert "blur" not in resolve_views(views, "folder", 3)  # it depends on the size


@pytest.mark.parametrize("size", [32, 96])
def test_parameterized_views_keep_the_promises_of_views(size):
    check_views("colour", image_size=size, solarize=0.5, blur=0.5, jitter=0.5, rotation=10)
    check_views("grey", image_size=size, jitter=0.5, blur=1, blur_sigma=[0.5, 4])
