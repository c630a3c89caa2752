"""YAML files with the line of each key, so that messages can name file and line.

YAML 1.2 as ruamel reads it: `on` and `off` are words, `1e-4` is a number, a duplicate key is an
error. A key is the word in the file: `0.10` and `null` are names too.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode

from raymoco.errors import ConfigError
from raymoco.passwords import hide

Path_ = tuple[str, ...]
Model = TypeVar("Model", bound=BaseModel)
WORD = "name"  # where a word alone stands for a mapping, the key of the word


@dataclass(frozen=True)
class KeysOf:
    """Beside a field that may be a word or a mapping: the model of the mapping's keys."""

    model: type[BaseModel]


@dataclass
class Document:
    """A tree of plain values and, for each key, where it was written."""

    values: dict[str, Any]
    origins: dict[Path_, str] = field(default_factory=dict)

    def origin(self, path: Path_) -> str:
        """Return where `path` or its nearest parent was written; '' if it was not."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return ""

    def set(self, dotted: str, value: Any, origin: str) -> None:
        """Set one dotted key and create the mappings above it; a mapping replaces the old value.

        A word above it becomes a mapping with that name: `data.views.flip` of `data.views: glyph`.
        """
        *parents, last = path = tuple(dotted.split("."))
        node = self.values
        for name in parents:
            child = node.get(name)
            if not isinstance(child, dict):
                child = node[name] = {WORD: child} if isinstance(child, str) else {}
            node = child
        node[last] = value
        for known in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[known]
        self.origins[path] = origin

    def part(self, name: str) -> Document:
        """Return the mapping below a key as a separate document."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            where = self.origin((name,))
            raise ConfigError(
                located(where, f"{name} is {value!r}, but must be a mapping of keys.")
            )
        below = {path[1:]: origin for path, origin in self.origins.items() if path[:1] == (name,)}
        below.pop((), None)
        return Document(dict(value or {}), below)

    @contextmanager
    def locating(self, file: str = "") -> Iterator[None]:
        """Prepend file and line to the message of a ConfigError that has a key.

        Args:
            file: named if the key was not written.
        """
        try:
            yield
        except ConfigError as error:
            if error.key is None:
                raise
            raise ConfigError(located(self.origin(error.key) or file, str(error))) from None


def located(where: str, text: str) -> str:
    """Prepend a place to a message, if there is one."""
    return f"{where}: {text}" if where else text


def read_yaml(path: Path) -> Document:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ConfigError: the file is missing, is not YAML, or is not a mapping; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from None
    try:
        tree = _load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = (error.problem or "is not YAML").split("\n")[0]
        raise ConfigError(f"{path}:{line}: {problem}") from None
    if tree is None:
        return Document({})
    if not isinstance(tree, CommentedMap):
        raise ConfigError(f"{path}:1: the file must be a mapping of keys to values.")
    origins: dict[Path_, str] = {}
    _collect_lines(tree, (), str(path), origins)
    return Document(_plain(tree), origins)


def parse_override(text: str, texts: Container[str] = ()) -> tuple[str, Any]:
    """Split `key=value` and read the value as YAML: `optim.lr=0.1`, `search={}`, `name=null`.

    Args:
        text: as typed.
        texts: keys that want text, see `text_keys`: their value is the text as typed, so that
            `output=a #b` is a folder called `a #b`; only `null`, `~` and a mapping are YAML.
    Raises:
        ConfigError: there is no `=`, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"'{text}' is not an override: write key=value, such as optim.lr=0.1.")
    if key in texts and value.strip() not in ("null", "~") and not value.lstrip().startswith("{"):
        return key, value
    try:
        return key, _plain(_load(value)) if value.strip() else ""
    except (YAMLError, ValueError):
        raise ConfigError(f"'{text}': the value is not YAML.") from None


def text_keys(model: type[BaseModel]) -> set[str]:
    """Return the dotted keys of a model that take text, or text or a mapping or null."""
    found = set()
    for name, info in model.model_fields.items():
        written = info.alias or name
        inner = _inner_model(info.annotation)
        if inner is not None:
            found |= {f"{written}.{key}" for key in text_keys(inner)}
        elif _takes_text(info.annotation):
            found.add(written)
    return found


def means(word: str, value: Any) -> bool:
    """Whether YAML reads a word as exactly this value: `0.10` as 0.1, `true` as True, not as 1."""
    try:
        read = _plain(_load(word))
    except (YAMLError, ValueError):  # `a: b: c`, or an impossible date
        return False
    return type(read) is type(value) and bool(read == value)


def apply_overrides(
    document: Document, overrides: Iterable[str], texts: Container[str] = ()
) -> None:
    """Set each `key=value` of the command line in the document; `texts` as in `parse_override`."""
    for text in overrides:
        key, value = parse_override(text, texts)
        document.set(key, value, f"command line: {hide(text)}")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`, merged mapping by mapping.

    A word of `base` stays as the name in a mapping that is laid over it, unless that has its own.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, str):
            below = {WORD: below}
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Convert nested mappings to one mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Return the mapping as YAML text, with keys in the given order."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    writer.dump(dict(values), stream)
    return stream.getvalue()


def validate(model: type[Model], document: Document, prefix: str = "") -> Model:
    """Build a pydantic model from a document.

    Raises:
        ConfigError: for every problem a line that names the file and line, the key, the value and
            what it must be; for an unknown key also the nearest valid one.
    """
    try:
        return model.model_validate(document.values)
    except ValidationError as error:
        lines = [_explain(problem, model, document, prefix) for problem in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def dotted_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return every dotted key that a model accepts, including the mappings themselves."""
    keys = []
    for name, info in model.model_fields.items():
        written = info.alias or name
        keys.append(prefix + written)
        beside = (one.model for one in info.metadata if isinstance(one, KeysOf))
        inner = next(beside, None) or _inner_model(info.annotation)
        if inner is not None:
            keys += dotted_keys(inner, f"{prefix}{written}.")
    return keys


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest candidate, or '.' if none is close."""
    candidates = list(candidates)
    found = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if not found:  # the right name at the wrong depth: lr for optim.lr
        found = [key for key in candidates if key.rpartition(".")[2] == word.rpartition(".")[2]]
    return f"; did you mean '{found[0]}'?" if found else "."


def _explain(problem: Any, model: type[BaseModel], document: Document, prefix: str) -> str:
    path = _written(problem["loc"], document.values)
    key = prefix + ".".join(path)
    return located(document.origin(path), _reason(problem, key, model, prefix))


def _reason(problem: Any, key: str, model: type[BaseModel], prefix: str) -> str:
    if problem["type"] == "extra_forbidden":
        valid = [prefix + name for name in dotted_keys(model)]
        siblings = [name for name in valid if name.rpartition(".")[0] == key.rpartition(".")[0]]
        close = nearest(key, siblings)
        hint = close if close != "." else nearest(key, valid)
        if hint == "." and siblings:
            hint = f"; the keys here are {', '.join(name.rpartition('.')[2] for name in siblings)}."
        return f"unknown key '{key}'{hint}"
    reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if problem["type"] == "value_error":
        named = not key or reason.startswith(key)
        return reason if named else f"{key}: {reason}"
    if problem["type"] == "missing":
        return f"key '{key}' is missing."
    return f"{key} is {problem['input']!r}, but must {reason.removeprefix('should ')}."


def _written(steps: tuple[int | str, ...], node: Any) -> Path_:
    """The path as in the file: pydantic also counts a single item that stands for a list."""
    path = []
    for number, step in enumerate(steps):
        inside = isinstance(node, Mapping) and step in node
        if inside or (isinstance(node, list) and isinstance(step, int) and step < len(node)):
            node = node[step]
        elif isinstance(step, int) and number + 1 < len(steps):
            continue
        path.append(str(step))
    return tuple(path)


class _KeysAsWritten(RoundTripConstructor):
    """Reads every key as a string, as it is written."""

    def construct_mapping(  # type: ignore[override]  # as ruamel's own
        self, node: Any, maptyp: Any, deep: bool = False
    ) -> Any:
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, maptyp, deep)


def _load(text: str) -> Any:
    reader = YAML(typ="rt")
    reader.Constructor = _KeysAsWritten
    return reader.load(text)


def _collect_lines(tree: Any, path: Path_, file: str, origins: dict[Path_, str]) -> None:
    if isinstance(tree, CommentedMap):
        for key, value in tree.items():
            below = (*path, str(key))
            origins[below] = f"{file}:{tree.lc.key(key)[0] + 1}"
            _collect_lines(value, below, file, origins)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            _collect_lines(value, (*path, str(index)), file, origins)


def _plain(value: Any) -> Any:
    """Convert ruamel's round-trip values to Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return str(value)  # dates and the like: no key accepts them, and the validation reports it


def _takes_text(annotation: Any) -> bool:
    kinds = set(_kinds(annotation))
    return str in kinds and kinds <= {str, dict, type(None)}


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types of a union, without what Annotated adds."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for argument in get_args(annotation):
            yield from _kinds(argument)
    else:
        yield origin or annotation


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is dict:
        return None  # its keys are the user's
    if get_origin(annotation) is not None:
        for argument in get_args(annotation):
            found = _inner_model(argument)
            if found is not None:
                return found
    return None
