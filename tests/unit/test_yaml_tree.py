"""YAML text becomes plain values with lines, or one sentence with the line."""

import itertools

import pytest

from raymoco.yaml_tree import NotYaml, parse, plain


def test_values_are_those_of_yaml_1_2_and_keys_are_the_words():
    text = "on: off\n0.10: 1e-4\nnull: 0x1F\nn: 1_000\nd: 2025-02-30\nt: true\ne:\ni: .inf\n"
    assert plain(text) == {
        "on": "off",
        "0.10": 1e-4,
        "null": 31,
        "n": 1000,
        "d": "2025-02-30",  # an impossible date is text, as every date is
        "t": True,
        "e": None,
        "i": float("inf"),
    }


def test_each_key_and_item_has_its_line():
    lines = parse("a:\n  b: 1\n  c:\n  - x\n  - y\n")[1]
    assert lines == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 3,
        ("a", "c", "0"): 4,
        ("a", "c", "1"): 5,
    }


def test_anchors_and_merge_keys_do_what_they_do_everywhere():
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{x: 7}, *a]}\nd: *a\n"
    assert plain(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 7, "y": 2},
        "d": {"x": 1, "y": 2},
    }
    assert parse(text)[1]["b", "x"] == 1  # where it is written


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\na: 2\n", 2, "found duplicate key 'a', first in line 1"),
        ("a: 1\nb: !!int x\n", 2, "'x' is not a whole number"),
        ("a: !!float x\n", 1, "is not a number"),
        ("a: !!bool 3\n", 1, "'3' is not true or false"),
        ("a: !x y\n", 1, "the tag !x"),
        ("a: !!binary YQ==\n", 1, "the tag !!binary"),
        ("a: !!set {x}\n", 1, "the tag !!set"),
        ("a: 1\n? [x]\n: 2\n", 2, "a key is a list or a mapping"),
        ("a: 1\n: 2\n", 2, "a key is empty"),
        ("a:\n\tb: 1\n", 2, "a tab"),
        ("a: 1\n---\nb: 1\n", 2, "another document"),
        ("a: 1\nb: x\x07y\n", 2, "U+0007"),
        ('a: "x\\0y"\n', 1, "U+0000"),
        ('a: "\\ud800"\n', 1, "U+D800"),
        ('a: "\\U00110000"\n', 1, "escape"),
        ("a: 1\nb: 1e400\n", 2, "'1e400' is not a number"),
        (f"a: {'9' * 5000}\n", 1, "is not a whole number below 2^63"),
        ("a: *b\n", 1, "undefined alias"),
        ("a: &a [*a]\n", 1, "nested more than 30"),
        ("a: &a {<<: *a}\n", 1, "to itself"),
        ("a: {<<: 3}\n", 1, "`<<` merges a mapping"),
        ("[" * 5000, 1, "nested more than 30"),
        ("a: [1, 2\n", 2, "but got '<stream end>'"),
        ("a: b: c\n", 1, "mapping values are not allowed here"),
    ],
)
def test_what_no_setting_can_be_is_one_sentence_with_its_line(text, line, words):
    with pytest.raises(NotYaml) as raised:
        parse(text)
    assert words in str(raised.value)
    assert (raised.value.line, str(raised.value).count("\n")) == (line, 0)


def test_aliases_of_aliases_do_not_fill_the_memory():
    names = "abcdefghijkl"
    text = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"{now}: &{now} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, now in itertools.pairwise(names)
    )
    with pytest.raises(NotYaml, match=r"more than 100,000 values"):
        parse(text)
