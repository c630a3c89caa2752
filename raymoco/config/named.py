"""Keys whose value is a name of a registry, alone or with options beside it."""

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

SHORT = 40  # letters of somebody's name in the name of a file


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


def file_name_of(value: str | Mapping[str, Any]) -> str:
    """The name in a value as a file's name may have it: `Lmdb` of `mylab.sources:Lmdb`."""
    return name_of(value).rpartition(":")[2][:SHORT]


def constructor(
    registry: Registry[Any], value: str | Mapping[str, Any], arguments: tuple[str, ...]
) -> Callable[..., Any]:
    """What constructs the thing that a value names; its options are given as `options=`.

    Args:
        value: a name, or a mapping with the options beside it.
        arguments: what it will be called with, for the message.
    Returns:
        A function of these arguments. It raises a ConfigError where somebody's code fails.
    Raises:
        ConfigError: as `Registry.load` and `Registry.options`, or somebody's code does not take the
            arguments.
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
    except ValueError:  # written in C: it will say so itself
        pass

    def construct(*given: Any) -> Any:
        try:
            return found(*given, **beside)
        except RaymocoError:
            raise
        except Exception as error:
            # somebody else's code: whatever it raises is their message
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{about} constructing it fails: {reason}") from error

    return construct
