"""The split of an image depends on ids and labels alone, and every class gets its share."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymoco.data.account import Account
from raymoco.data.splits import SplitRule, in_eval_split, in_test_split

Images = list[tuple[str, int | None, str | None]]


def splits(images: Images, *, labelled: bool = True) -> dict[str, str]:
    rule = SplitRule(labeled=labelled)
    for image in images:
        rule.see(*image)
    rule.settle(Account())
    return {image[0]: rule.split(*image) for image in images}


def by_hash(name: str) -> str:
    return "test" if in_test_split(name) else "eval" if in_eval_split(name) else "train"


def of_class(count: int, prefix: str = "c/", label: int | None = 0) -> Images:
    return [(f"{prefix}{i}", label, None) for i in range(count)]


@pytest.mark.parametrize("prefix", "abcdefgh")
def test_a_class_of_three_has_one_image_everywhere_and_one_of_two_has_a_test_image(prefix):
    assert sorted(splits(of_class(3, prefix)).values()) == ["eval", "test", "train"]
    assert sorted(splits(of_class(2, prefix)).values()) == ["test", "train"]
    assert list(splits(of_class(1, prefix)).values()) == ["train"]


def test_a_class_that_the_hash_serves_has_no_stand_in():
    images = of_class(200)
    assert splits(images) == {name: by_hash(name) for name, _, _ in images}


@given(st.sets(st.text("abc", min_size=1), min_size=1, max_size=12), st.data())
def test_a_class_that_grows_moves_at_most_its_stand_ins(names, data):
    order = data.draw(st.permutations(sorted(names)))
    before: dict[str, str] = {}
    for count in range(1, len(order) + 1):
        now = splits([(name, 0, None) for name in order[:count]])
        moved = [name for name in before if before[name] != now[name]]
        assert all(before[name] != by_hash(name) or now[name] != by_hash(name) for name in moved)
        before = now
    assert before == splits([(name, 0, None) for name in sorted(names)])


@given(st.integers(1, 12), st.integers(0, 3), st.sampled_from("abcdefgh"))
def test_no_class_changes_the_split_of_another(count, other, prefix):
    mine = of_class(count, prefix)
    together = splits([*of_class(other, "other", 1), *mine])
    assert {name: together[name] for name, _, _ in mine} == splits(mine)


@given(st.integers(2, 40), st.sampled_from("abcdefgh"))
def test_every_class_of_two_keeps_an_image_for_training(count, prefix):
    found = list(splits(of_class(count, prefix)).values())
    assert "train" in found
    assert "test" in found
    assert count < 3 or "eval" in found


def test_a_source_with_a_test_set_gets_no_stand_in_there():
    images: Images = [(f"{i}", 0, "train") for i in range(5)] + [("t", 1, "test")]
    found = splits(images)
    assert [name for name, split in found.items() if split == "test"] == ["t"]
    assert "eval" in found.values()


def test_images_without_a_label_judge_only_where_no_image_has_one():
    unlabelled = of_class(30, "u", None)
    assert set(splits(unlabelled).values()) == {"train"}
    assert sorted(splits(of_class(2, "u", None), labelled=False).values()) == ["eval", "train"]


def test_stand_ins_are_accounted_for():
    account = Account()
    rule = SplitRule(labeled=True)
    images = list(itertools.chain(of_class(3, "small"), of_class(200, "b", 1)))
    for image in images:
        rule.see(*image)
    assert rule.settle(account)
    assert all(name.startswith("small") for remark in account.remarks() for name in remark.names)
    assert {remark.kind for remark in account.remarks()} == {"understood"}
