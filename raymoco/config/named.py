"""Config keys whose value names an entry of a registry, with or without options beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from raymoco.choices import ONE_SPELLING
from raymoco.registry import IMPORT_PATH, NAME, Registry, name_of
from raymoco.yamlfile import nearest

SHORT = 40  # characters of a third-party name in a file name


def named(registry: Registry[Any]) -> BeforeValidator:
    """Check a name when a config is read; import paths are imported when a run is resolved."""
    return BeforeValidator(lambda value: check_named(registry, value))


def check_named(registry: Registry[Any], value: Any) -> Any:
    """Check a name, with or without options beside it, and return it in its one spelling.

    Raises:
        PydanticCustomError: no such name.
    """
    name = value.get(NAME) if isinstance(value, Mapping) else value
    name = ONE_SPELLING.get(name, name) if isinstance(name, str) else ""
    if name not in registry.names and not IMPORT_PATH.fullmatch(name):
        close = nearest(name, registry.names)
        # the key and the value are prepended, as to every message of pydantic
        raise PydanticCustomError(
            "no_such_name",
            "be one of {ours}, or your own package.module:Name{close}",
            {
                "ours": ", ".join(n for n in registry.names if n not in ONE_SPELLING),
                "close": f" ({close.removeprefix('; ')})" if close != "." else "",
            },
        )
    return registry.validate({**value, NAME: name} if isinstance(value, Mapping) else name)


def file_name_of(value: str | Mapping[str, Any]) -> str:
    """The part of a name that may stand in a file name: `Lmdb` for `mylab.sources:Lmdb`."""
    return name_of(value).rpartition(":")[2][:SHORT]
