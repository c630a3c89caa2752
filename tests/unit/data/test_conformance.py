"""Our sources and views, and somebody's, keep the promises; what breaks one is told so."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from raymoco.config import DataConfig
from raymoco.data.sources.open import open_source
from raymoco.data.sources.source import Entry
from raymoco.data.views.two_views import ColorViews, GrayViews, TwoViews
from raymoco.errors import ConfigError
from raymoco.testing import check_source, check_views
from tests.unit.data.sources.test_sources import (
    png,
    write_cifar,
    write_fashion,
    write_image,
    write_parquet,
    write_stl10,
)
from tests.unit.data.sources.test_webdataset import tar
from tests.unit.data.third_party import Good, Hashed


def write_classes(root):
    for name, i in itertools.product(("a", "b", "unlabelled"), range(5)):
        write_image(root / name / f"{i}.png", i)


def write_tars(root):
    for name in ("a-train.tar", "b-test.tar.gz"):
        mode = "w:gz" if name.endswith("gz") else "w"
        members = [m for i in range(5) for m in ((f"{i}.png", png(i)), (f"{i}.cls", str(i % 2)))]
        tar(root / name, *members, mode=mode)


WRITE = {
    "fashion_mnist": lambda root: (root.mkdir(), write_fashion(root)),
    "cifar10": lambda root: write_cifar(root, hundred=False, pickled=False),
    "cifar100": lambda root: write_cifar(root, hundred=True, pickled=True),
    "stl10": write_stl10,
    "folder": write_classes,
    "webdataset": write_tars,
    "parquet": lambda root: write_parquet(root / "a.parquet", [png(i) for i in range(9)], None, {}),
}


@pytest.mark.parametrize("name", WRITE)
def test_our_sources_keep_the_promises(tmp_path, name):
    WRITE[name](tmp_path / "in")
    check_source(name, root=tmp_path / "in")


def test_a_list_of_files_keeps_the_promises(tmp_path):
    write_classes(tmp_path)
    images = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    (tmp_path / "list.csv").write_text(
        "path,label\n" + "".join(f"{path},{path.parent}\n" for path in images)
    )
    check_source(
        "files", root=tmp_path / "list.csv", change=lambda: write_image(tmp_path / images[0], 9)
    )


def test_digits_and_a_source_that_is_open_keep_them():
    check_source("digits")
    check_source(open_source(DataConfig()))


def test_somebodys_source_keeps_the_promises(mylab, tmp_path):
    labels = tmp_path / "arrays" / "labels.npy"
    check_source(
        mylab["name"], path=mylab["path"], change=lambda: np.save(labels, 1 - np.load(labels))
    )
    with pytest.raises(ConfigError, match=r"data\.source\.path is missing"):
        check_source(mylab["name"])


def one_entry(**values):
    """A class whose entries have these values."""
    entry = Entry(**{"id": "x", "label": 0, "split": "train", "place": "0", "bytes": 1, **values})
    return type("Wrong", (Good,), {"entries": lambda self: iter([entry])})


class Unordered(Good):
    def read(self, places):
        yield from super().read(sorted(places))


class Short(Good):
    def read(self, places):
        yield from list(super().read(places))[1:]


class Growing(Good):
    listed = 0

    def entries(self):
        self.listed += 1
        yield from list(super().entries())[: 8 + self.listed]


class Twice(Good):
    def entries(self):
        yield from super().entries()
        yield from super().entries()


class Floats(Good):
    def read(self, places):
        for image in super().read(places):
            yield image / 255


class Rubbish(Good):
    def read(self, places):
        for _ in places:
            yield b"no image"


class Words(Good):
    def fingerprint(self):
        return "version 2"


class Local(Good):
    """Holds what no other process can have."""

    def __init__(self):
        self.rows = (row for row in range(10))


class Lists(Good):
    classes = ["even", "odd"]  # noqa: RUF012 - that is what is wrong with it


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Lists, "must be a tuple of text"),
        (one_entry(split="validation"), "is in the split 'validation', but must be in train, eval"),
        (one_entry(label=2), "has the label 2, but there are 2 classes"),
        (one_entry(label=np.int64(1)), "no int, and not None"),
        (one_entry(place=0), "has the place 0, but it must be text"),
        (one_entry(id=""), "an empty id"),
        (one_entry(bytes=0), "has 0 bytes"),
        (Twice, "10 ids come more than once, such as '0'"),
        (Growing, "listed again, it has 10, not 9"),
        (Short, "of 10 places it reads 9 images"),
        (Unordered, "read backwards, the place '9' gives another image"),
        (Floats, "is an array of float64, but must be uint8"),
        (Rubbish, "not one of 10 images can be decoded"),
        (Words, "its fingerprint is 'version 2', but must be hex digits"),
        (Hashed, "is it made of hash()"),
        (Local, "it cannot be pickled"),
    ],
)
def test_a_source_that_breaks_a_promise_is_told_which(source, words, monkeypatch):
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    with pytest.raises(AssertionError) as broken:
        check_source(source())
    assert words in str(broken.value)


def test_a_fingerprint_that_does_not_notice_a_change_is_told_so():
    with pytest.raises(AssertionError, match=r"a file was changed and the fingerprint is the same"):
        check_source(Good(), change=lambda: None)


@pytest.mark.parametrize("size", [8, 72])
@pytest.mark.parametrize(
    ("name", "channels"), [("glyph", 1), ("grey", 1), ("grey", 3), ("color", 3)]
)
def test_our_views_keep_the_promises(name, channels, size):
    check_views(name, channels=channels, image_size=size)


def test_somebodys_views_keep_the_promises(mylab):
    check_views("mylab.views:Noise", channels=1, image_size=8, strength=0.5)
    with pytest.raises(ConfigError, match=r"data\.views\.strenght: .* did you mean 'strength'"):
        check_views("mylab.views:Noise", strenght=0.5)


class Same(ColorViews):
    def forward(self, images):
        view, _ = super().forward(images)
        return view, view


class Fixed(ColorViews):
    def forward(self, images):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return super().forward(images)


class Unseeded(ColorViews):
    own = torch.Generator()

    def forward(self, images):
        view_a, view_b = super().forward(images)
        return view_a + torch.randn(view_a.shape, generator=self.own), view_b


class OneForAll(ColorViews):
    """Noise and contrast of the whole batch."""

    def forward(self, images):
        pixels = (images.float() / 255 - self.mean) / self.std
        return pixels * torch.rand(1), pixels * torch.rand(1)


class Blind(ColorViews):
    def forward(self, images):
        return super().forward(torch.zeros_like(images) + 128)


class InPlace(ColorViews):
    def forward(self, images):
        views = super().forward(images)
        images.zero_()
        return views


class Half(ColorViews):
    def forward(self, images):
        view_a, view_b = super().forward(images)
        return view_a.half(), view_b.half()


class Small(ColorViews):
    def forward(self, images):
        view_a, view_b = super().forward(images)
        return view_a[..., 1:], view_b[..., 1:]


class Three(ColorViews):
    def forward(self, images):
        return (*super().forward(images), images)


class Asks(ColorViews):
    def forward(self, images):
        view_a, view_b = super().forward(images)
        return (view_a, view_b) if view_a.max() > 0 else (view_b, view_a)


class Numpy(ColorViews):
    def forward(self, images):
        view_a, view_b = super().forward(images)
        return view_a - 0 * float(view_a.numpy().max()), view_b


class Flat(ColorViews):
    def to_pixels(self, views):
        return (views * 255).clamp(0, 255).to(torch.uint8)


class Learned(ColorViews):
    def forward(self, images):
        view_a, view_b = super().forward(images)
        return view_a * torch.ones(1, requires_grad=True), view_b


@pytest.mark.parametrize(
    ("views", "words"),
    [
        (Same, "the two views are the same"),
        (Fixed, "with another seed the views are the same"),
        (Unseeded, "with the same seed the views are others"),
        (OneForAll, "8 copies of an image have one view"),
        (Blind, "they do not depend on the images"),
        (InPlace, "the batch itself is changed"),
        (Half, "a view is torch.float16, but must be float32"),
        (Small, "has the shape (8, 3, 32, 31), but must have (8, 3, 32, 32)"),
        (Three, "views give 3 tensors, but must give two"),
        (Asks, "a batch needs _local_scalar_dense on the host"),
        (Numpy, "takes them to the host"),
        (Flat, "to_pixels does not undo"),
        (Learned, "a view has a gradient"),
    ],
)
def test_views_that_break_a_promise_are_told_which(views, words):
    with pytest.raises(AssertionError) as broken:
        check_views(f"{__name__}:{views.__name__}")
    assert words in str(broken.value)


class Mild(TwoViews):
    recipe = replace(GrayViews.recipe, area=(0.8, 1.0), rotation=0.1)


def test_a_recipe_alone_makes_views_of_somebodys_own():
    check_views(f"{__name__}:Mild", channels=1, image_size=28)
