"""Keys whose value is a name of a registry, alone or with options beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from raymoco.choices import ONE_SPELLING
from raymoco.registry import IMPORT_PATH, NAME, Registry
from raymoco.yamlfile import nearest


def named(registry: Registry[Any]) -> BeforeValidator:
    """Check a name when a config is read; somebody else's is looked at when a run is resolved."""

    def check(value: Any) -> Any:
        name = value.get(NAME) if isinstance(value, Mapping) else value
        name = ONE_SPELLING.get(name, name) if isinstance(name, str) else ""
        if name not in registry.names and not IMPORT_PATH.fullmatch(name):
            close = nearest(name, registry.names)
            # the key and the value are put before it, as before every complaint of pydantic
            raise PydanticCustomError(
                "no_such_name",
                "be one of {ours}, or somebody's package.module:Name{close}",
                {
                    "ours": ", ".join(n for n in registry.names if n not in ONE_SPELLING),
                    "close": f" ({close.removeprefix('; ')})" if close != "." else "",
                },
            )
        return registry.validate({**value, NAME: name} if isinstance(value, Mapping) else name)

    return BeforeValidator(check)
