"""Which labels are hidden is a function of label seed and id, and fractions are nested."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymoco.config import DataConfig
from raymoco.data.loading.visible_labels import visible_labels
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
