"""Splits, classes and everything else at the top of a folder, as people have them."""

import re

import pytest

from raymoco.config import DataConfig
from raymoco.data.shards.ensure import ensure_shards
from raymoco.errors import DataError
from tests.people_folders import built, entries_of, people_folder, told


def splits_of(root, **keys) -> dict[str, set[str]]:
    """The splits of each folder below the root that has entries."""
    found: dict[str, set[str]] = {}
    for name, entry in entries_of(root, **keys).items():
        found.setdefault(name.rpartition("/")[0], set()).add(
            entry.split if entry.label is not None else f"{entry.split} without label"
        )
    return found


def classes(*tops: str, count: int = 3) -> dict[str, int]:
    return {f"{top}/{name}": count for top in tops for name in ("cats", "dogs")}


def refusal(root) -> str:
    with pytest.raises(DataError) as caught:
        entries_of(root)
    return str(caught.value)


def test_folders_without_an_image_are_no_classes_and_are_told(tmp_path):
    files = {"scripts/a.py": "x", "annotations/0.xml": "x", "Labels/sub/0.txt": "x"}
    root = people_folder(tmp_path / "in", {"cats": 60, "dogs": 60, **files})
    (root / "empty").mkdir()
    assert built(root, tmp_path / "out", strict=True).classes == ("cats", "dogs")
    assert "4 folders without an image that can be read (Labels/, annotations/, ...)" in told(root)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "valid"),
        ("Train", "Test"),
        ("TRAIN", "VAL"),
        ("training", "testing"),
        ("train", "dev"),
        ("train", "eval"),
        ("train", "validation"),
        ("train", "holdout"),
        ("trainset", "testset"),
        ("train_set", "test-set"),
        ("seg_train", "seg_test"),
        ("train_images", "test_images"),
        ("train2017", "val2017"),
        ("training data", "test data"),
    ],
)
def test_the_usual_words_are_splits_in_any_case(tmp_path, train, test):
    root = people_folder(tmp_path / "in", {**classes(train, test), f"{train}/unlabelled": 1})
    found = splits_of(root)
    assert found.pop(f"{train}/unlabelled") == {"train without label"}
    assert found == {
        **{f"{train}/{name}": {"train"} for name in ("cats", "dogs")},
        **{f"{test}/{name}": {"test"} for name in ("cats", "dogs")},
    }


@pytest.mark.parametrize("valid", ["valid", "val", "Dev", "Validation"])
def test_of_three_splits_each_is_what_it_is_called(tmp_path, valid):
    root = people_folder(tmp_path / "in", classes("train", valid, "test"))
    found = splits_of(root)
    assert {folder.partition("/")[0]: split for folder, split in found.items()} == {
        "train": {"train"},
        valid: {"eval"},
        "test": {"test"},
    }


def test_a_lone_valid_folder_is_the_test_set_and_that_is_told(tmp_path):
    root = people_folder(tmp_path / "in", classes("train", "valid"))
    assert "valid/ is the test set, as there is no other" in told(root)


UNCLEAR = {
    "train beside classes": (
        {**classes("train"), "cats": 3, "dogs": 3},
        "train/ looks like a split",
    ),
    "flat train beside classes": ({"train": 3, "cats": 3, "dogs": 3}, "train/ looks like a split"),
    "test beside classes": ({**classes("test"), "cats": 3, "dogs": 3}, "but no train/"),
    "two trains": (classes("train", "Training"), "both look like the train split"),
    "two tests": (classes("train", "test", "holdout"), "both look like the test split"),
    "two evals": (classes("train", "val", "valid"), "both look like the eval split"),
    "no train": (classes("val", "test"), "but no train/"),
    "splits inside classes": (
        {"cats/train": 3, "cats/test": 3, "dogs/train": 3, "dogs/test": 3},
        "cats/ has splits inside",
    ),
    "flat train, classes in test": (
        {"train": 3, **classes("test")},
        "test/ has class folders, but",
    ),
    "a class that train lacks": (
        {**classes("train", "test"), "test/cows": 3},
        "the class 'cows' has no folder in train/",
    ),
    "a class in another case": (
        {**classes("train"), "test/Cats": 3, "test/Dogs": 3},
        "the class 'Cats' has no folder in train/",
    ),
}


@pytest.mark.parametrize("kind", UNCLEAR)
def test_what_is_not_clear_is_refused_with_the_tree_as_it_was_understood(tmp_path, kind):
    contents, words = UNCLEAR[kind]
    root = people_folder(tmp_path / "in", contents)
    said = refusal(root)
    assert words in said
    for top in {name.partition("/")[0] for name in contents}:
        assert re.search(rf"^    {top}/  \w", said, re.MULTILINE), said


@pytest.mark.parametrize("test", ["test", "test1", "Test/unknown", "test/test", "test/images"])
def test_a_test_folder_without_classes_is_not_used_and_that_is_told(tmp_path, test):
    root = people_folder(tmp_path / "in", {**classes("train", count=20), test: 40})
    assert set(splits_of(root)) == {"train/cats", "train/dogs"}
    assert built(root, tmp_path / "out").rows("test") > 0
    assert "left out: 40 images without a label in" in told(root)
    assert "name the folder unlabelled/ to train on them" in told(root)
    assert "a hash of the names chooses the test set" in told(root)


def test_valid_judges_where_test_has_no_labels(tmp_path):
    root = people_folder(tmp_path / "in", {**classes("train", "valid"), "test": 5})
    assert splits_of(root)["valid/cats"] == {"test"}
    assert "left out: 5 images without a label in test/" in told(root)


def test_a_folder_of_flat_splits_has_no_labels(tmp_path):
    root = people_folder(tmp_path / "in", {"train": 60, "test": 10})
    assert splits_of(root) == {"train": {"train without label"}}
    assert built(root, tmp_path / "out").manifest.counts["train"].labelled == 0


def test_loose_images_in_a_test_set_are_left_out_and_counted(tmp_path):
    root = people_folder(
        tmp_path / "in", {**classes("train", "test"), "test": 2, "test/unlabelled": 2}
    )
    assert "test" not in splits_of(root)
    assert "left out: 4 images without a label among those that judge" in told(root)


def test_images_beside_both_splits_are_left_out_and_counted(tmp_path):
    root = people_folder(tmp_path / "in", {**classes("train", "test"), "figures": 2, "": 1})
    assert set(splits_of(root)) == set(classes("train", "test"))
    assert "left out: 3 images beside the folders of the splits" in told(root)


@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled", "UNLABELLED", "unlabeled_images"])
def test_images_without_a_label_may_be_called_so_in_any_case(tmp_path, name):
    root = people_folder(tmp_path / "in", {"cats": 2, "dogs": 2, name: 2})
    assert splits_of(root)[name] == {"train without label"}


@pytest.mark.parametrize("inner", ["dataset", "dataset/pets", "a/b/c"])
def test_a_folder_around_everything_is_looked_through_and_told(tmp_path, inner):
    root = people_folder(
        tmp_path / "in", {f"{inner}/cats": 2, f"{inner}/dogs": 2, "README.md": "x"}
    )
    assert {entry.label for entry in entries_of(root).values()} == {0, 1}
    assert f"all images are in {inner}/, so it is read as the top" in told(root)
    assert "1 files that are no images by their names: .md (README.md)" in told(root)


def test_splits_are_found_inside_a_folder_around_everything(tmp_path):
    root = people_folder(
        tmp_path / "in", {**classes("data/Train", "data/Test"), "__MACOSX/data": 3}
    )
    assert splits_of(root)["data/Test/cats"] == {"test"}


def test_a_single_folder_of_images_is_one_class_and_told(tmp_path):
    root = people_folder(tmp_path / "in", {"cats": 2})
    assert {entry.label for entry in entries_of(root).values()} == {0}
    assert "there is one class, cats" in told(root)


def test_folders_inside_class_folders_are_told(tmp_path):
    root = people_folder(tmp_path / "in", {"cats/tabby": 2, "cats/siamese": 2, "dogs": 2})
    assert "folders inside class folders have no meaning (cats/)" in told(root)


def test_a_clean_folder_is_not_remarked_on(tmp_path):
    assert told(people_folder(tmp_path / "in", {"cats": 2, "dogs": 2, "unlabelled": 2})) == ""
    assert told(people_folder(tmp_path / "split", classes("train", "test"))) == ""


def test_an_empty_set_says_how_the_folder_was_understood(tmp_path):
    root = people_folder(tmp_path / "in", {"cats/0.txt": "x", "scripts/a.py": "x", "x.zip": "x"})
    said = refusal(root)
    assert "there is no image in it" in said
    assert "cats/  no image" in said
    assert "1 archives, which are not opened (unpack them): .zip (x.zip)" in said


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("seg_train/seg_train", "seg_test/seg_test"),  # Kaggle's Intel images
        ("train/train", "test/test"),
        ("train/images", "test/images"),
        ("train", "test/all/images"),
    ],
)
def test_a_split_that_is_doubled_is_looked_through_and_told(tmp_path, train, test):
    contents = {
        f"{split}/{name}": n for split, n in ((train, 20), (test, 8)) for name in ("a", "b")
    }
    root = people_folder(tmp_path / "in", contents)
    shards = built(root, tmp_path / "out")
    assert shards.classes == ("a", "b")
    assert shards.manifest.counts["test"].labelled == 16
    assert f"all images of {test.split('/')[0]}/ are in {test}/" in told(root)


def test_a_doubled_split_that_is_alone_is_looked_through_too(tmp_path):
    root = people_folder(tmp_path / "in", {"data_train/train/a": 30, "data_train/train/b": 30})
    assert built(root, tmp_path / "out").classes == ("a", "b")


def test_the_manifest_names_the_folder_from_wherever_it_was_typed(tmp_path, monkeypatch):
    people_folder(tmp_path / "pets", {"cats": 60, "dogs": 60})
    monkeypatch.chdir(tmp_path)
    shards = ensure_shards(DataConfig(source="folder", root="./pets"), tmp_path / "out")
    assert shards.manifest.root == f"{tmp_path}/pets"
