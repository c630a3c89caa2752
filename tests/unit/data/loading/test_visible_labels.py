"""Which labels are hidden is a function of label seed and id, and fractions are nested."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raymoco.config import DataConfig
from raymoco.data.loading.label_list import listed_rows
from raymoco.data.loading.loader import Reader, open_images
from raymoco.data.loading.prepare import load_images
from raymoco.data.loading.train_plan import check_list
from raymoco.data.loading.visible_labels import visible_labels
from raymoco.data.shards.ensure import build_shards
from raymoco.data.sources.open import open_source
from raymoco.errors import DataError

IDS = [f"train/{i:04d}.png" for i in range(300)]
LABELS = np.arange(300) % 7 - 1  # every seventh has none


def visible(seed: int = 0, **keys) -> np.ndarray:
    return visible_labels(IDS, LABELS, DataConfig(**keys), seed)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
def test_a_larger_fraction_contains_the_smaller_one(one, other, seed):
    small, large = sorted((one, other))
    few, many = (visible(seed, labelled_fraction=f) for f in (small, large))
    assert ((few == many) | (few == -1)).all()
    assert ((many == LABELS) | (many == -1)).all()


def test_all_labels_none_and_about_a_third():
    assert (visible() == LABELS).all()
    assert (visible(labelled_fraction=0.0) == -1).all()
    count = (visible(labelled_fraction=0.3) >= 0).sum() / (LABELS >= 0).sum()
    assert 0.2 < count < 0.4


def test_the_label_seed_decides_and_the_run_seed_stands_in_for_it():
    keys = {"labelled_fraction": 0.5}
    assert (visible(1, **keys) != visible(2, **keys)).any()
    assert (visible(1, label_seed=5, **keys) == visible(2, label_seed=5, **keys)).all()
    assert (visible(5, **keys) == visible(2, label_seed=5, **keys)).all()


def test_a_list_of_ids_or_file_names_says_whose_labels_stay(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("train/0001.png\n\n0002.png\n")
    found = visible(labelled_list=str(path))
    assert np.flatnonzero(found >= 0).tolist() == [1, 2]


def test_unknown_names_in_the_list_are_counted_and_the_first_is_named(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("0001.png\nnobody.png\nneither.png\n")
    with pytest.raises(DataError, match=r"2 of its 3 names are .* the first is 'nobody.png'"):
        visible(labelled_list=str(path))


def test_the_list_may_name_images_that_are_set_aside(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("0001.png\neval/7.png\n")
    data = DataConfig(labelled_list=str(path))
    found = visible_labels(IDS, LABELS, data, 0, elsewhere={"eval/7.png"})
    assert np.flatnonzero(found >= 0).tolist() == [1]


def test_a_file_name_that_two_images_have_is_refused(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("0.png\n")
    data = DataConfig(labelled_list=str(path))
    with pytest.raises(DataError, match=r"2 images are called '0\.png'"):
        visible_labels(["a/0.png", "b/0.png"], np.array([0, 1]), data, 0)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(DataError, match=r"labelled_list .*nothing.txt"):
        visible(labelled_list=str(tmp_path / "nothing.txt"))


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbftrain/0001.png\r\n\r\n0002.png\r\n",
        "train/0001.png\n0002.png\n".encode("utf-16"),
        b"# two images\n./train/0001.png\ntrain\\0002.png\n",
        b'image\n"train/0001.png"\n  0002.png  \n',
        b"0001\nTRAIN/0002.PNG\n",
        b"/elsewhere/train/0001.png\n0002.png",
    ],
)
def test_a_list_as_people_write_it_is_understood(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    found = visible(labelled_list=str(path), root=str(tmp_path / "in"))
    assert np.flatnonzero(found >= 0).tolist() == [1, 2]


def test_absolute_paths_and_other_unicode_forms_in_the_list_are_understood_and_told(tmp_path):
    ids = ["a/\u00e9.png", "a/1.png"]
    path = tmp_path / "list.txt"
    path.write_text(f"a/e\u0301.png\n{tmp_path}/in/a/1.png\n")
    data = DataConfig(labelled_list=str(path), root=str(tmp_path / "in"))
    rows, account = listed_rows(data, ids, ())
    assert sorted(rows) == [0, 1]
    said = [remark.line() for remark in account.remarks()]
    assert any("in spite of accents" in line for line in said)
    assert any("in spite of backslashes, ./ or the whole path" in line for line in said)


def test_an_unknown_name_is_shown_beside_the_nearest(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("0001.jpg\n")
    with pytest.raises(DataError, match=r"the nearest image is 'train/0001.png'"):
        visible(labelled_list=str(path))


def write_names(path: Path, names: list[str]) -> str:
    path.write_text("".join(f"{name}\n" for name in names))
    return str(path)


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """A folder called as ImageNet is, and its prepared images."""
    root = tmp_path_factory.mktemp("imagenet")
    classes = ("01440764", "01443537")
    for split, number, i in itertools.product(("train", "val"), classes, range(40)):
        name = f"n{number}_{i}.JPEG" if split == "train" else f"ILSVRC2012_val_{number}{i}.JPEG"
        path = root / split / f"n{number}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        color = (
            5 * i,
            99 * classes.index(number),
            99 * (split == "val"),
        )  # no two images are alike
        Image.new("RGB", (8, 8), color).save(path, "JPEG")
    data = DataConfig(source="folder", root=str(root))
    shards = build_shards(open_source(data), root / "runs" / "shards" / "x", parallel=False)
    return data, load_images(data, shards)


def test_unimocos_own_lists_work_unchanged(imagenet, tmp_path):
    data, images = imagenet
    names = [f"n01440764_{i}.JPEG" for i in range(12)] + [f"n01443537_{i}.JPEG" for i in range(4)]
    some = data.model_copy(update={"labelled_list": write_names(tmp_path / "10.txt", names)})
    assert check_list(images, some, needs_labels=True) == []
    seen = open_images(images, some, Reader(0, 8)).visible_labels.numpy()
    ids = [name.decode().rpartition("/")[2] for name in images.splits["train"].ids]
    trained = [name for name in names if name in ids]  # the others are in the eval split
    assert sorted(np.array(ids)[seen >= 0]) == sorted(trained)
    assert 10 < len(trained) <= 16
    gone = data.model_copy(
        update={"labelled_list": write_names(tmp_path / "x.txt", [*names, "n01440764_99.JPEG"])}
    )
    with pytest.raises(DataError, match=r"1 of its 17 names are no training images"):
        check_list(images, gone, needs_labels=False)


def test_an_empty_list_is_told_and_refused_where_labels_are_needed(imagenet, tmp_path):
    data, images = imagenet
    empty = data.model_copy(update={"labelled_list": write_names(tmp_path / "0.txt", [])})
    assert "0.txt is empty: no label is visible" in check_list(images, empty, needs_labels=False)[0]
    with pytest.raises(DataError, match=r"data.labelled_list .*0.txt makes none visible, and this"):
        check_list(images, empty, needs_labels=True)


def test_a_list_that_makes_no_label_visible_is_refused(imagenet, tmp_path):
    data, images = imagenet
    judged = [name.decode() for name in images.splits["eval"].ids]
    listed = data.model_copy(update={"labelled_list": write_names(tmp_path / "e.txt", judged)})
    with pytest.raises(DataError, match=r"e.txt: makes no label visible: not one of its images is"):
        check_list(images, listed, needs_labels=False)
