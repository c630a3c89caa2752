"""YAML files with the line of each key, so that messages can name file and line.

What YAML means here is in yaml_tree.py.
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
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from raymoco.errors import ConfigError
from raymoco.passwords import hide
from raymoco.reading import odd_character, read_text, shown
from raymoco.yaml_tree import DEEPEST, NotYaml, Path_, parse, plain

Model = TypeVar("Model", bound=BaseModel)
YAML_NAMES = (".yaml", ".yml")
LONGEST = 200  # characters of a value in a message
WORD = "name"  # where a word alone stands for a mapping, the key of the word


@dataclass(frozen=True)
class KeysOf:
    """Beside a field that may be a word or a mapping: the model of the mapping's keys."""

    model: type[BaseModel]


@dataclass
class Document:
    """A tree of plain values and, for each key, where it was written; `file` is the whole."""

    values: dict[str, Any]
    origins: dict[Path_, str] = field(default_factory=dict)
    file: str = ""

    def origin(self, path: Path_) -> str:
        """Return where `path` or its nearest parent was written, or a key below it, or the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        below = (where for known, where in self.origins.items() if known[: len(path)] == path)
        return next(below, self.file) if path else self.file

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
        return Document(dict(value or {}), below, self.file)

    @contextmanager
    def locating(self, file: str = "") -> Iterator[None]:
        """Prepend file and line to the message of a ConfigError that has a key.

        Args:
            file: named if the key was not written, or if the error has neither key nor place.
        """
        try:
            yield
        except ConfigError as error:
            text = str(error)
            if error.key is None and (file in text or text.startswith("command line: ")):
                raise  # it has its place already
            where = file if error.key is None else self.origin(error.key) or file
            raise ConfigError(located(where, text)) from None


def located(where: str, text: str) -> str:
    """Prepend a place to a message, if there is one."""
    return f"{where}: {text}" if where else text


def read_yaml(path: Path) -> Document:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ConfigError: the file is missing, empty, not YAML, or not a mapping; names file and line.
    """
    text, name = read_text(path), shown(path)
    try:
        tree, lines = parse(text)
    except NotYaml as error:
        if path.suffix not in YAML_NAMES:
            raise ConfigError(
                f"{name} is no YAML file, and one is wanted: line {error.line}: {error}."
            ) from None
        raise ConfigError(f"{name}:{error.line}: {error}") from None
    if tree is None:
        raise ConfigError(f"{name} is empty: write at least one key, such as `preset: digits`.")
    if not isinstance(tree, dict):
        what = "a list" if isinstance(tree, list) else _cut(repr(tree))
        raise ConfigError(f"{name}:1: the file must be a mapping of keys to values, but is {what}.")
    return Document(tree, {path: f"{name}:{line}" for path, line in lines.items()}, name)


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
    typed = shown(hide(text))
    if not equals or not key or key.count(".") > DEEPEST:
        raise ConfigError(
            f"'{_cut(typed)}' is not an override: write key=value, such as optim.lr=0.1."
        )
    odd = odd_character(text)
    if odd:
        raise ConfigError(f"'{typed}' has {odd}.")
    if key in texts and value.strip() not in ("null", "~") and not value.lstrip().startswith("{"):
        return key, value
    try:
        return key, plain(value) if value.strip() else ""
    except NotYaml as error:
        raise ConfigError(f"'{_cut(typed)}': the value is not YAML: {error}.") from None


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
        read = plain(word)
    except NotYaml:  # `a: b: c`
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
        inner = model_below(info)
        if inner is not None:
            keys += dotted_keys(inner, f"{prefix}{written}.")
    return keys


def model_below(info: FieldInfo) -> type[BaseModel] | None:
    """The model of the keys below a field; None where its value is no section."""
    beside = (one.model for one in info.metadata if isinstance(one, KeysOf))
    return next(beside, None) or _inner_model(info.annotation)


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
    reason = _reason(problem, key, model, prefix)
    if not path:  # of several keys together: the one that the reason begins with
        path = tuple(reason.removeprefix(prefix).split(" ")[0].rstrip(":").split("."))
    return located(document.origin(path), reason)


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
    if problem["type"] in ("model_type", "dict_type"):
        reason = "be a mapping of keys"
    return f"{key} is {_cut(repr(problem['input']))}, but must {reason.removeprefix('should ')}."


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


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


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
