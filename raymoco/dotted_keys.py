"""Dotted keys in a file: `optim.lr: 0.3` is what it is on the command line, `optim: {lr: 0.3}`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from raymoco.errors import ConfigError
from raymoco.yaml_tree import Path_
from raymoco.yamlfile import WORD, Document, located, model_below


def spread(
    document: Document, model: type[BaseModel], at: Path_ = (), whole: Iterable[str] = ()
) -> None:
    """Move the value of each dotted key of a file to its place.

    Only where the model has sections: below a mapping with keys of the user's own, such as the axes
    of a search, dots belong to the key.

    Args:
        at: where in the document the keys of the model are.
        whole: dotted names of mappings below which the rest of a key is one key: `search`.
    Raises:
        ConfigError: a key is written twice, with dots and without; names both places.
    """
    node: Any = document.values
    for name in at:
        node = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, dict):
        _spread(document, node, model, at, at, tuple(whole))


def _spread(
    document: Document,
    node: dict[str, Any],
    model: type[BaseModel],
    path: Path_,
    root: Path_,
    whole: tuple[str, ...],
) -> None:
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    for key, value in node.items():
        below = model_below(fields[key]) if key in fields else None
        if below is not None and isinstance(value, dict):
            _spread(document, value, below, (*path, key), root, whole)
    for key in [key for key in node if key not in fields and key.partition(".")[0] in fields]:
        value = node.pop(key)
        moved = {
            known[len(path) + 1 :]: document.origins.pop(known)
            for known in list(document.origins)
            if known[: len(path) + 1] == (*path, key)
        }
        _put(document, node, path, _parts(key, path[len(root) :], whole), value, moved)


def _parts(key: str, above: Path_, whole: tuple[str, ...]) -> Path_:
    dotted = ".".join((*above, key))
    for name in whole:
        if dotted.startswith(f"{name}."):
            found = (*name.split("."), dotted.removeprefix(f"{name}."))
            return found[len(above) :]
    return tuple(key.split("."))


def _put(
    document: Document,
    node: dict[str, Any],
    path: Path_,
    parts: Path_,
    value: Any,
    moved: dict[Path_, str],
) -> None:
    """Set a value below a mapping of the document, where nothing else may be."""
    here, rest = (*path, parts[0]), parts[1:]
    if rest:
        below = node.setdefault(parts[0], {})
        if isinstance(below, str):  # `data.views.flip` beside `data: {views: glyph}`
            below = node[parts[0]] = {WORD: below}
        if not isinstance(below, dict):
            raise _twice(document, here, moved)
        _put(document, below, here, rest, value, moved)
    elif parts[0] not in node:
        node[parts[0]] = value
        document.origins |= {(*here, *tail): where for tail, where in moved.items()}
    elif isinstance(value, dict) and isinstance(node[parts[0]], dict):
        for key, inner in value.items():
            tails = {tail[1:]: where for tail, where in moved.items() if tail[:1] == (key,)}
            _put(document, node[parts[0]], here, (key,), inner, tails)
    else:
        raise _twice(document, here, moved)


def _twice(document: Document, path: Path_, moved: dict[Path_, str]) -> ConfigError:
    where, other = moved.get((), ""), document.origin(path)
    also = f", also at {other}" if other else ""
    return ConfigError(located(where, f"{'.'.join(path)} is written twice{also}: write it once."))
