"""Find the tested code by its name, as a config does, or accept the code itself."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from raymoco.errors import ConfigError
from raymoco.registry import NAME, Registry, name_of


def named(registry: Registry[Any], what: Any, options: Mapping[str, Any]) -> str | dict[str, Any]:
    """Return the value that a config would have for the tested code.

    Args:
        what: a name, an import path, or the class or function itself.
        options: the options beside it.
    Raises:
        AssertionError: it cannot be found by a path, has no such options, or is of another kind.
    """
    path = what if isinstance(what, str) else f"{what.__module__}:{what.__qualname__}"
    value = {NAME: path, **options} if options else path
    found = must(lambda: registry.load(registry.validate(value)))
    must(lambda: registry.options(value, found))
    if not isinstance(what, str):
        assert found is what, (
            f"{path} is something else than what was given: it must stand at the top of a module."
        )
    if inspect.isclass(found) or inspect.isfunction(found):
        assert pickle.loads(pickle.dumps(found)) is found, f"{path} cannot be pickled by its path."
    return value


def must(build: Callable[[], Any]) -> Any:
    """Return the result of `build`; turn its error into an AssertionError with the same text."""
    try:
        return build()
    except (ConfigError, ValueError) as error:
        raise AssertionError(str(error)) from error


def called(value: str | Mapping[str, Any]) -> str:
    """Return the name of the tested code for messages."""
    return name_of(value)
