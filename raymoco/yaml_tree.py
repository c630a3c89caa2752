"""YAML text as a tree of plain values, and the line of each key.

YAML 1.2: `on` and `off` are words, `1e-4` is a number, a duplicate key is an error. A key is the
word in the file: `0.10` and `null` are names too. A date is text as written. Anchors, aliases and
merge keys (`<<`) do what they do everywhere; a tag other than YAML's own plain ones is refused.

The tree is built here and not by ruamel's constructors, so that nothing in a file can raise
anything but NotYaml, however long, deep or odd it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from raymoco.reading import odd_character

Path_ = tuple[str, ...]
DEEPEST = 30  # levels: no key of ours has more than 6
MOST = 100_000  # values: aliases of aliases multiply
LARGEST = 2**63  # what tables, Optuna and torch can store
SHOWN = 30  # characters of a value in a message
# the words after the first are booleans in YAML 1.1, where a file says that it is that
TRUTHS = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
TAG = "tag:yaml.org,2002:"


class NotYaml(ValueError):  # noqa: N818 - it is a fact about a text
    """A text is no YAML that a setting can have; `line` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def parse(text: str) -> tuple[Any, dict[Path_, int]]:
    """Read one YAML document.

    Returns:
        Its plain values, None if it is empty; and the line of each key and of each item of a list.
    Raises:
        NotYaml: says what is wrong, and in which line.
    """
    builder = _Builder()
    node = _compose(text)
    return (None if node is None else builder.value(node, ())), builder.lines


def plain(text: str) -> Any:
    """The values of a YAML text.

    Raises:
        NotYaml: as `parse`.
    """
    return parse(text)[0]


def _compose(text: str) -> Node | None:
    reader = YAML(typ="safe", pure=True)
    reader.composer.warn_double_anchors = False  # the later one counts, as YAML says
    try:
        found: Node | None = reader.compose(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotYaml(line, f"{odd_character(chr(error.character))} in YAML") from None
    except MarkedYAMLError as error:
        raise NotYaml(*_explained(error)) from None
    except YAMLError as error:
        raise NotYaml(1, str(error).split("\n")[0]) from None
    except RecursionError:
        raise NotYaml(1, f"nested more than {DEEPEST} levels deep") from None
    except (ValueError, OverflowError):  # chr() of the digits in "\U00110000"
        line = text.count("\n", 0, max(0, text.find("\\"))) + 1
        raise NotYaml(line, "an escape such as \\U00110000 is no character") from None
    return found


def _explained(error: MarkedYAMLError) -> tuple[int, str]:
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    problem = (error.problem or "is not YAML").split("\n")[0]
    if "'\\t'" in problem:
        problem = "a tab, where YAML wants spaces"
    elif "but found ('" in problem:  # ruamel prints a tuple
        problem = problem.replace("('", "'").replace("',)", "'")
    elif "but found another document" in problem:
        problem = "another document begins (---), but a file has one"
    return line, problem


class _Builder:
    """Builds the values of one tree and notes the lines."""

    def __init__(self) -> None:
        self.lines: dict[Path_, int] = {}
        self._count = 0

    def value(self, node: Node, path: Path_) -> Any:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > MOST:
            raise NotYaml(line, f"more than {MOST:,} values, counting those of aliases")
        if len(path) > DEEPEST:
            raise NotYaml(line, f"nested more than {DEEPEST} levels deep")
        kind = str(node.tag or "").removeprefix(TAG)
        if isinstance(node, ScalarNode):
            return _scalar(kind, str(node.value), line)
        if isinstance(node, SequenceNode) and kind == "seq":
            return [self._item(item, (*path, str(n))) for n, item in enumerate(node.value)]
        if isinstance(node, MappingNode) and kind == "map":
            return self._mapping(node, path, set(), 0)
        raise NotYaml(line, f"the tag {_tag(node)}: values have no tags here")

    def _item(self, node: Node, path: Path_) -> Any:
        self.lines[path] = node.start_mark.line + 1
        return self.value(node, path)

    def _mapping(
        self, node: MappingNode, path: Path_, taken: set[str], depth: int
    ) -> dict[str, Any]:
        """The keys of a mapping, and of those that it merges, without those that are taken."""
        found: dict[str, Any] = {}
        seen: dict[str, int] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            key, line = _key(key_node), key_node.start_mark.line + 1
            if key in seen:
                raise NotYaml(line, f"found duplicate key '{key}', first in line {seen[key]}")
            seen[key] = line
            if key_node.tag == f"{TAG}merge":
                merged = self._merged(value_node, line)
            elif key not in taken:
                below = (*path, key)
                self.lines[below] = line
                found[key] = self.value(value_node, below)
        for other in merged:
            assert isinstance(other, MappingNode)
            self._count += 1
            if self._count > MOST or depth > DEEPEST:
                raise NotYaml(
                    other.start_mark.line + 1,
                    f"`<<` leads on more than {DEEPEST} times, or to itself",
                )
            found |= self._mapping(other, path, taken | set(found), depth + 1)
        return found

    @staticmethod
    def _merged(node: Node, line: int) -> list[Node]:
        nodes: list[Node] = list(node.value) if isinstance(node, SequenceNode) else [node]
        if not all(isinstance(one, MappingNode) for one in nodes):
            raise NotYaml(line, "`<<` merges a mapping, or a list of mappings, and nothing else")
        return nodes


def _key(node: Node) -> str:
    line = node.start_mark.line + 1
    if not isinstance(node, ScalarNode):
        raise NotYaml(line, "a key is a list or a mapping, but must be a word")
    _refuse_odd(str(node.value), line)
    if not str(node.value).strip():
        raise NotYaml(line, "a key is empty")
    return str(node.value)


def _scalar(kind: str, text: str, line: int) -> Any:
    _refuse_odd(text, line)
    read = {"null": _null, "bool": _truth, "int": _whole, "float": _number}.get(kind, _text)
    if read is _text and kind not in ("str", "timestamp", "merge", "value", "!"):
        tag = kind if kind.startswith("!") else f"!!{kind}"
        raise NotYaml(line, f"the tag {_short(tag)}: values have no tags here")
    try:
        return read(text)
    except ValueError:
        raise NotYaml(line, f"'{_short(text)}' is not {WORDS[read]}") from None


def _null(text: str) -> None:
    if text not in ("", "~", "null", "Null", "NULL"):
        raise ValueError
    return


def _truth(text: str) -> bool:
    if text.lower() not in TRUTHS:
        raise ValueError
    return TRUTHS[text.lower()]


def _whole(text: str) -> int:
    digits = text.replace("_", "").lower()
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits.lstrip("+-")[:2], 10)
    number = int(digits, base)
    if abs(number) >= LARGEST:
        raise ValueError
    return number


def _number(text: str) -> float:
    digits = text.replace("_", "").lower()
    if digits.lstrip("+-") in (".inf", ".nan"):
        return float(digits.replace(".", "", 1))
    number = float(digits)
    if math.isinf(number):  # 1e400
        raise ValueError
    return number


def _text(text: str) -> str:
    return text


WORDS: dict[Callable[[str], Any], str] = {
    _null: "null",
    _truth: "true or false",
    _whole: "a whole number below 2^63",
    _number: "a number that a computer can store",
    _text: "text",
}


def _refuse_odd(text: str, line: int) -> None:
    odd = odd_character(text)
    if odd:
        raise NotYaml(line, f"'{_short(text)}' has {odd}")


def _tag(node: Node) -> str:
    return _short(str(node.tag or "").replace(TAG, "!!"))


def _short(text: str) -> str:
    cut = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return repr(cut)[1:-1]
