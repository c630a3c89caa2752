"""Inputs that are nearly right: settings, command lines and files, spoiled in every way we know."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from raymoco.config import RunConfig, preset_names, preset_values
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.search_spec import SearchSpec
from raymoco.yaml_tree import plain
from raymoco.yamlfile import dotted_keys, dump_yaml
from tests.written_sweeps import ABLATION, SEARCH

ROOT = Path(__file__).parents[1]
SWEEPS = [plain(path.read_text()) for path in sorted((ROOT / "sweeps").rglob("*.yaml"))]
SWEEPS += [plain(ABLATION), plain(SEARCH)]
RUNS = [{"preset": name, **preset_values(name)} for name in preset_names() if name != "folder"]
RUNS += [sweep["run"] for sweep in SWEEPS if "run" in sweep]
# no slashes, dots and tildes: nothing of this machine must be read, walked or imported
TEXT = st.text(
    st.characters(exclude_characters="/.~\\", exclude_categories=("Cs", "Cc")), max_size=9
)
ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1,
        2,
        0.5,
        1.5,
        1e-300,
        1e308,
        -1e308,
        float("nan"),
        float("inf"),
        2**31,
        2**53 + 1,
        2**63 - 1,
        -(2**63),
        "",
        " ",
        "null",
        "auto",
        "1:1",
        "0:0",
        "1:1:1",
        "x:Y",
        "nowhere.at.all:X",
        "2025-02-30",
        "unicon",
        "eval/knn_top1",
        "a\nb",
        "[",
        "ä ö",
        "x" * 300,
        [],
        [None],
        [[]],
        [0, 0],
        [1, 0],
        [1e308, -1e308],
        [0, 2**62],
        {},
        {"name": None},
        {"name": "x"},
        {"": 1},
        {"choice": []},
        {"choice": [[1]]},
        {"choice": [1, 1.0, True]},
        {"int": [1, 10**9]},
        {"int": [0, 2**62]},
        {"uniform": [0, 1], "step": 1e-300},
        {"uniform": [-1e308, 1e308]},
        {"uniform": [0, 1], "step": 1e-7},
        {"loguniform": [1e-320, 1e308]},
        {"uniform": [0, 1], "or": {"x": 1}},
        {"choice": [1, 2], "when": {"method.loss": "unicon"}},
        {"choice": [1, 2], "when": {"method.queue_size": {"not": {"not": 1}}}},
    ]
)
SCALARS = ODD | st.integers(-5, 300) | st.floats() | st.booleans() | TEXT
KEYS = st.sampled_from(
    sorted(
        {
            *dotted_keys(RunConfig),
            *dotted_keys(SearchSpec),
            *dotted_keys(AblationSpec),
            *(part for key in dotted_keys(RunConfig) for part in key.split(".")),
            "preset",
            "not",
            "when",
            "or",
            "<<",
            "run.optim.lr",
            "search.optim.lr",
        }
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS | TEXT, below, max_size=4),
    max_leaves=8,
)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Each container of a tree with each of its keys."""
    found: list[tuple[Any, Any]] = []
    if isinstance(tree, dict | list):
        for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
            found += [(tree, key), *_places(value)]
    return found


def spoil(draw: Callable[[Any], Any], tree: Any) -> None:
    """Change one place of a tree: delete, rename, retype, nest, swap or double it."""
    places = _places(tree)
    if not places:
        return
    node, key = draw(st.sampled_from(places))
    match draw(st.sampled_from(["set", "set", "delete", "rename", "nest", "swap", "list", "grow"])):
        case "set":
            node[key] = _copy(draw(VALUES))
        case "delete":
            del node[key]
        case "rename" if isinstance(node, dict):
            node[draw(KEYS | TEXT)] = node.pop(key)
        case "nest":
            node[key] = {draw(KEYS | TEXT): node[key]}
        case "list":
            node[key] = [node[key]] * draw(st.integers(0, 3))
        case "grow" if isinstance(node, dict):
            node[draw(KEYS | TEXT)] = _copy(draw(VALUES))
        case "swap":
            other, there = draw(st.sampled_from(places))
            # by copy: a tree that holds itself is no YAML of a person
            node[key], other[there] = _copy(other[there]), _copy(node[key])


def _copy(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    return [_copy(value) for value in tree] if isinstance(tree, list) else tree


@st.composite
def spoiled_trees(draw: Callable[[Any], Any], trees: list[Any]) -> str:
    """A file's text, from a real one with some places changed."""
    tree = _copy(draw(st.sampled_from(trees)))
    for _ in range(draw(st.integers(1, 3))):
        spoil(draw, tree)
    return dump_yaml(tree) if isinstance(tree, dict) else str(tree)


@st.composite
def spoiled_texts(draw: Callable[[Any], Any], texts: list[str]) -> bytes:
    """The bytes of a real file with some of them changed: cut, doubled, flipped, put in."""
    content = draw(st.sampled_from(texts)).encode()
    for spoiling in draw(st.lists(SPOILING, min_size=1, max_size=3)):
        content = spoil_bytes(spoiling, content)
    return content


INSERTED = [
    b"\t",
    b"\0", b"\x07", b"\xff", b"\xef\xbb\xbf", b"---\n", b"...\n", b"- ", b": ", b"? ", b"&a ",
    b"*a ", b"<<: ", b"!!int ", b"!x ", b"!!binary ", b"{", b"[", b"}", b"]", b"'", b'"', b"|\n",
    b">\n", b"%YAML 1.1\n---\n", b"%", b"@", b"`", b"#", b"\n", b"\r", b"\\", b'"\\ud800"',
    b"1e999",
    b"9" * 400, b"[" * 400, b"{a: " * 400, b"\xe2\x80\xa8", b"2025-02-30", b".nan", b"0x", b"-_",
    b"&a [*a]", b"{<<: *a}", b"NaN", b"null", b"-", b'{"', b'"epoch": 1e999, ', b"\xed\xa0\x80",
]  # fmt: skip


# how, where as a share, how many bytes, which bit, and what is put in: not drawn by the content
SPOILING = st.tuples(
    st.sampled_from(["flip", "flip", "cut", "delete", "double", "insert", "zero"]),
    st.integers(0, 2**16),
    st.integers(1, 60),
    st.integers(0, 7),
    st.sampled_from(INSERTED),
)


def spoil_bytes(spoiling: tuple[str, int, int, int, bytes], content: bytes) -> bytes:
    """Change some bytes: cut them off, flip a bit, double or delete a part, put something in."""
    how, share, size, bit, inserted = spoiling
    at = len(content) * share // (2**16 + 1)
    before, part, after = content[:at], content[at : at + size], content[at + size :]
    match how:
        case "flip" if part:
            part = bytes([part[0] ^ 1 << bit]) + part[1:]
        case "cut":
            part = after = b""
        case "delete":
            part = b""
        case "double":
            part += part
        case "zero":
            part = bytes(len(part))
        case _:
            part = inserted + part
    return before + part + after


@st.composite
def overrides(draw: Callable[[Any], Any]) -> list[str]:
    """Some words of a command line that are `key=value`, or nearly."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        key, value = draw(KEYS | TEXT), draw(VALUES | st.sampled_from(INSERTED))
        if isinstance(value, bytes):  # as Python hands on what is no UTF-8
            text = value.decode("utf-8", "surrogateescape").replace("\0", "")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
        found.append(draw(st.sampled_from([f"{key}={text}"] * 6 + [key, f"={text}", f"{key}.=1"])))
    return found
