"""Colour and blur against torchvision's operations, image by image."""

import pytest
import torch
from torchvision.transforms import functional as tv

from raymoco.data.views.color import ColorJitter, blur, blur_some, jitter_color, twist_color

ONE, NONE = torch.ones(4), torch.zeros(4)


@pytest.fixture
def images():
    # neither dark nor bright: nothing is clamped on the way
    return 0.3 + 0.4 * torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("place", "reference"),
    [(0, tv.adjust_brightness), (1, tv.adjust_contrast), (2, tv.adjust_saturation)],
)
def test_a_factor_changes_what_torchvision_changes(images, place, reference):
    factors = torch.tensor([0.6, 0.9, 1.1, 1.4])
    given = [ONE, ONE, ONE, NONE]
    given[place] = factors
    got = twist_color(images, *given)
    for one, image, factor in zip(got, images, factors.tolist(), strict=True):
        # torchvision rounds its luma weights to four digits
        torch.testing.assert_close(one, reference(image, factor), rtol=0, atol=2e-4)


def test_no_saturation_is_gray(images):
    got = twist_color(images, ONE, ONE, NONE, NONE)
    expected = tv.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-4)


def test_the_hue_turns_red_to_yellow_and_keeps_grays_and_brightness(images):
    red = torch.zeros(4, 3, 2, 2) + torch.tensor([0.6, 0.3, 0.3]).view(3, 1, 1)
    turned = twist_color(red, ONE, ONE, ONE, ONE / 8)
    reference = tv.adjust_hue(red, 1 / 8)
    assert turned[0, 1, 0, 0] > 0.3 < reference[0, 1, 0, 0]  # greener: toward yellow
    luma = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(turned[0, :, 0, 0] @ luma, red[0, :, 0, 0] @ luma)
    gray = torch.full((4, 3, 2, 2), 0.4)
    torch.testing.assert_close(twist_color(gray, ONE, ONE, ONE, ONE / 8), gray)
    # a whole turn is none
    torch.testing.assert_close(twist_color(images, ONE, ONE, ONE, ONE), images)


def test_a_blur_is_torchvisions_away_from_the_border(images):
    sigma = torch.tensor([0.1, 0.5, 1.0, 2.0])
    got = blur(images, sigma)
    for one, image, by in zip(got, images, sigma.tolist(), strict=True):
        expected = tv.gaussian_blur(image, [13, 13], by)
        torch.testing.assert_close(one[:, 10:-10, 10:-10], expected[:, 10:-10, 10:-10])
    flat = torch.full_like(images, 0.4)
    torch.testing.assert_close(blur(flat, sigma), flat)  # at the border too


def test_color_is_changed_as_often_as_the_recipe_says():
    torch.manual_seed(0)
    images = torch.rand(1, 3, 8, 8).expand(2000, -1, -1, -1).clone()
    changed = jitter_color(images, ColorJitter(0.4, 0.4, 0.4, 0.1, 0.8, 0.2))
    spread = (changed - changed.mean(dim=1, keepdim=True)).flatten(1).abs().amax(dim=1)
    assert 0.16 < (spread < 1e-5).float().mean() < 0.24  # gray
    kept = (changed - images).flatten(1).abs().amax(dim=1) < 1e-5
    assert 0.12 < kept.float().mean() < 0.20  # 0.2 * 0.8: neither jittered nor gray
    blurred = blur_some(images.clone(), (0.5, 2.0), 0.5)
    assert ((blurred - images).flatten(1).abs().amax(dim=1) > 1e-3).sum() == 1000
