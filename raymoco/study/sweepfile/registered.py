"""Shared by samplers and schedulers: code that a key names, and its options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from raymoco.conformance import check_options
from raymoco.errors import ConfigError, concerning
from raymoco.registry import IMPORT_PATH, Registry


def name_type(registry: Registry[Any]) -> Any:
    """Return the type of a key with a name alone, whose options are beside it."""

    def check(name: str) -> str:
        if name not in registry.names and not IMPORT_PATH.fullmatch(name):
            ours = ", ".join(f"'{known}'" for known in registry.names)
            # the key and the value are prepended, as to every message of pydantic
            raise PydanticCustomError(
                "not_registered",
                "be {ours}, or your own package.module:Name",
                {"ours": ours},
            )
        return name

    schema = {
        "anyOf": [
            {"enum": list(registry.names)},
            {"type": "string", "pattern": f"^{IMPORT_PATH.pattern}$"},
        ]
    }
    return Annotated[str, AfterValidator(check), WithJsonSchema(schema)]


def is_ours(registry: Registry[Any], name: str) -> bool:
    """Whether raymoco ships it, so that its code is always available."""
    return registry.find(name) is not None


def load_code(registry: Registry[Any], name: str) -> Any:
    """Create an instance of the class that a name stands for.

    Raises:
        ConfigError: the class is missing, or does not keep the registry's Protocol; has the key.
    """
    with concerning(*registry.key.split(".")):
        found = registry.load(name)
        about = f"{registry.key} is '{name}', but"
        if not inspect.isclass(found):
            raise ConfigError(f"{about} it is no class.")
        try:
            return found()
        except Exception as error:
            # abstract, or it needs arguments; third-party code may raise anything
            raise ConfigError(
                f"{about} it cannot be created without arguments: {type(error).__name__}: {error}."
            ) from error


def check_options_of(code: Any, given: Mapping[str, Any], key: tuple[str, ...], name: str) -> Any:
    """Check the options of a name by its own pydantic model, `Options`.

    Returns:
        An instance of `code.Options`; None where it has no options.
    Raises:
        ConfigError: an option is unknown or wrong, or the code has no options; has the key.
    """
    model = getattr(code, "Options", None)
    if model is not None:
        return check_options(model, given, ".".join(key), name)
    for option in given:
        raise ConfigError(
            f"{'.'.join(key)}.{option}: {name} has no such option. Its options are: none.",
            (*key, option),
        )
    return None
