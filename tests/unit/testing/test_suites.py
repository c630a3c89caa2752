"""Ours go through the suites that others get, and what is broken is told so in a sentence."""

import pytest
import torch
from torch import nn

from raymoco.choices import LOSSES, TERMS
from raymoco.testing import check_backbone, check_loss, check_term
from tests import somebodys


@pytest.mark.parametrize("name", [n for n, one in LOSSES.choices.items() if one.has_keys])
def test_every_loss_of_ours_conforms(name):
    check_loss(name)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("cross_consistency", "batch_transpose"),
        ("cross_consistency", "batch_pairs"),
        ("cross_consistency", "queue_kl"),
        ("cross_consistency", "batch_kl"),
        ("negative_uniformity", "kl"),
        ("negative_uniformity", "entropy"),
    ],
)
def test_every_term_of_ours_conforms_in_each_form(name, form):
    check_term(name, form=form)


def test_no_term_of_ours_is_left_out():
    assert set(TERMS.choices) == {"cross_consistency", "negative_uniformity"}


@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_backbones_of_ours_and_of_torchvision_conform(name):
    check_backbone(name)


def test_somebodys_code_conforms_by_its_path_and_as_it_is():
    check_loss("tests.somebodys:Contrast", shift=0.5)
    check_loss(somebodys.Cosine)
    check_term("tests.somebodys:Spread", margin=-0.2)
    check_term(somebodys.Anchor)
    check_backbone("tests.somebodys:flat_net", image_size=8, width=3)
    check_backbone(somebodys.Net, channels=(3,))


class Loss:
    """A sound loss, for the broken ones below."""

    def __init__(self, temperature):
        self.temperature = temperature

    def __call__(self, query, key, queue, labels, queue_labels):
        return (1 - (query * key).sum(dim=1)).mean()


class PerImage(Loss):
    def __call__(self, query, key, queue, labels, queue_labels):
        return 1 - (query * key).sum(dim=1)


class EmptyQueue(Loss):
    def __call__(self, query, key, queue, labels, queue_labels):
        return (query @ queue.T).mean()


class NoLabels(Loss):
    def __call__(self, query, key, queue, labels, queue_labels):
        seen = labels >= 0
        return (query * key).sum(dim=1)[seen].sum() / seen.sum()


class Random(Loss):
    def __call__(self, query, key, queue, labels, queue_labels):
        return (query * key).sum(dim=1).mean() + torch.rand(())


class Counts(Loss):
    calls = 0

    def __call__(self, query, key, queue, labels, queue_labels):
        self.calls += 1
        return self.calls * (query * key).sum(dim=1).mean()


class ToTheKey(Loss):
    holds_gradient = True

    def __call__(self, query, key, queue, labels, queue_labels):
        return (query * key).sum(dim=1).float().mean()


class Constant(Loss):
    def __call__(self, query, key, queue, labels, queue_labels):
        return 0 * query.sum()


class InPlace(Loss):
    def __call__(self, query, key, queue, labels, queue_labels):
        labels.clamp_min_(0)
        return (query * key).sum(dim=1).mean()


class Single(Loss):
    def __call__(self, query, key, queue, labels, queue_labels):
        return (query.float() * key.float()).sum(dim=1).mean()


class ReadsHost(Loss):
    no_host_read = True

    def __call__(self, query, key, queue, labels, queue_labels):
        return (query * key).sum(dim=1).mean() * (2 if int(labels.sum()) > 3 else 1)


class SeesLabels(Loss):
    uses_labels = False

    def __call__(self, query, key, queue, labels, queue_labels):
        return ((query * key).sum(dim=1) * (labels + 2)).mean()


class SeesQueue(Loss):
    uses_queue = False

    def __call__(self, query, key, queue, labels, queue_labels):
        return (query @ queue.T).sum() + (query * key).sum()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (PerImage, "has shape (12,), but must be a scalar"),
        (EmptyQueue, "with an empty queue: it is nan, but must be finite"),
        (NoLabels, "with no label at all: it is nan"),
        (Random, "it must be deterministic"),
        (Counts, "keep no state"),
        (ToTheKey, "a gradient comes to the keys"),
        (Constant, "its gradient is zero"),
        (InPlace, "it changes the labels"),
        (Single, "it is torch.float32, but must be float64"),
        (ReadsHost, "no_host_read is True, but it looks at a value"),
        (SeesLabels, "uses_labels is False, but without labels it has another value"),
        (SeesQueue, "uses_queue is False, but with another queue"),
        (somebodys.NoLoss, "cannot be called: too many positional arguments"),
        (somebodys.no_class, "it is no class"),
        ("tests.somebodys:Contrats", "did you mean 'Contrast'"),
        ("infonce", "did you mean 'info_nce'"),
        ("cross_entropy", "which has no keys"),
    ],
)
def test_a_broken_loss_is_told_what_is_wrong(broken, words):
    with pytest.raises(AssertionError) as caught:
        check_loss(broken)
    assert words in str(caught.value)


def test_wrong_options_are_told_too():
    with pytest.raises(AssertionError, match=r"method.loss.shift is -1, but must be greater"):
        check_loss("tests.somebodys:Contrast", shift=-1)
    with pytest.raises(AssertionError, match=r"margn: tests.somebodys:Spread has no such"):
        check_term("tests.somebodys:Spread", margn=1)


class OwnBatch:
    """It compares images with each other, and says that it does not."""

    whole_batch = False

    def __call__(self, query, key, queue, labels, queue_labels):
        return (query @ key.T).sum()


def test_a_term_that_needs_the_batch_and_does_not_say_so_is_told():
    with pytest.raises(AssertionError, match="whole_batch is False, but of the batch it is"):
        check_term(OwnBatch)


class Net(nn.Module):
    """A sound backbone, for the broken ones below."""

    def __init__(self, *, channels, image_size):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3)

    def forward(self, images):
        return self.conv(images).mean(dim=(2, 3))


class Unused(Net):
    def __init__(self, *, channels, image_size):
        super().__init__(channels=channels, image_size=image_size)
        self.head = nn.Linear(6, 6)


class WrongSize(Net):
    feature_dim = 7


class AcrossTheBatch(Net):
    def forward(self, images):
        return super().forward(images - images.mean(dim=0))


class NotANumber(Net):
    def forward(self, images):
        return super().forward(images) / 0


class OneChannel(Net):
    def __init__(self, *, channels, image_size):
        super().__init__(channels=1, image_size=image_size)


class Counting(Net):
    built = 0

    def __init__(self, *, channels, image_size):
        super().__init__(channels=channels, image_size=image_size)
        type(self).built += 1
        nn.init.constant_(self.conv.weight, type(self).built)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (Unused, "head.weight gets no gradient"),
        (WrongSize, "4 images become (4, 6), but must become (4, 7)"),
        (AcrossTheBatch, "an image has other features alone than in a batch"),
        (NotANumber, "its features must be finite"),
        (OneChannel, "cannot take images of 32 x 32 px with 3 channels"),
        (Counting, "conv.weight differs"),
        (somebodys.NoLoss, "cannot be called"),
        ("resnet81", "did you mean 'resnet8'"),
    ],
)
def test_a_broken_backbone_is_told_what_is_wrong(broken, words):
    with pytest.raises(AssertionError) as caught:
        check_backbone(broken)
    assert words in str(caught.value)


def test_what_stands_in_a_function_has_no_path():
    class Inside(Loss):
        pass

    with pytest.raises(AssertionError, match=r"method\.loss is "):
        check_loss(Inside)
