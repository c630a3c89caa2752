"""Config keys whose value names an entry of a registry, with or without options beside it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from raymoco.choices import ONE_SPELLING
from raymoco.errors import ConfigError, RaymocoError
from raymoco.registry import IMPORT_PATH, NAME, Registry, name_of
from raymoco.yamlfile import nearest

SHORT = 40  # characters of a third-party name in a file name


def named(registry: Registry[Any]) -> BeforeValidator:
    """Check a name when a config is read; import paths are imported when a run is resolved."""

    def check(value: Any) -> Any:
        name = value.get(NAME) if isinstance(value, Mapping) else value
        name = ONE_SPELLING.get(name, name) if isinstance(name, str) else ""
        if name not in registry.names and not IMPORT_PATH.fullmatch(name):
            close = nearest(name, registry.names)
            # the key and the value are prepended, as to every message of pydantic
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


def file_name_of(value: str | Mapping[str, Any]) -> str:
    """The part of a name that may stand in a file name: `Lmdb` for `mylab.sources:Lmdb`."""
    return name_of(value).rpartition(":")[2][:SHORT]


def constructor(
    registry: Registry[Any], value: str | Mapping[str, Any], arguments: tuple[str, ...]
) -> Callable[..., Any]:
    """Return a function that constructs what a value names, with its options as `options=`.

    Args:
        value: a name, or a mapping with the options beside it.
        arguments: the names of the arguments that it will be called with, for the message.
    Returns:
        A function of these arguments. It raises a ConfigError where third-party code fails.
    Raises:
        ConfigError: as `Registry.load` and `Registry.options`, or third-party code does not take
            the arguments.
    """
    found = registry.load(value)
    options = registry.options(value, found)
    beside = {} if options is None else {"options": options}
    if registry.find(value) is not None:
        return lambda *given: found(*given, **beside)
    about = f"{registry.key} is '{name_of(value)}', but"
    try:
        inspect.signature(found).bind(*arguments, **beside)
    except TypeError as error:
        listed = ", ".join([*arguments, *beside])
        raise ConfigError(f"{about} it cannot be called with ({listed}): {error}.") from None
    except ValueError:  # written in C, without a signature: calling it will tell
        pass

    def construct(*given: Any) -> Any:
        try:
            return found(*given, **beside)
        except RaymocoError:
            raise
        except Exception as error:
            # third-party code may raise anything: show its message
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{about} constructing it fails: {reason}") from error

    return construct
