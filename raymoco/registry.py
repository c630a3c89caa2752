"""Registries: from a name in a config, one of raymoco's or `package.module:Name`, to its code.

A registry stores import paths and imports nothing until the code is needed, so that reading a
config does not import torch. raymoco/choices.py lists what raymoco ships.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from raymoco.conformance import OPTIONS, check_options, options_model, what_is_missing
from raymoco.errors import ConfigError, RaymocoError
from raymoco.yamlfile import nearest

IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
NAME = "name"  # the key in `{name: mylab.losses:Triplet, margin: 0.2}`
Named = str | dict[str, Any]  # a name, or a mapping with the options beside it


@dataclass(frozen=True)
class Choice:
    """An entry that raymoco ships, with the facts that a config needs before importing its code.

    A subclass adds the facts of its kind; their defaults are assumed for third-party code. The
    facts in `attributes` can also be class attributes of that code.

    Attributes:
        path: where its code is, `package.module:Name`.
        summary: one line for users.
        keys: keys of the same section of the config that are its options.
    """

    path: str
    summary: str
    keys: tuple[str, ...] = ()

    attributes: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Rule:
    """A function that accepts names that no list has, such as those of torchvision's classifiers.

    Attributes:
        path: of a function from the name to the code; it raises ConfigError for a wrong name.
        summary: one line for users.
    """

    path: str
    summary: str


C = TypeVar("C", bound=Choice)


class Registry(Generic[C]):
    """All that one key of a config may name; in a pydantic model `Annotated[Named, registry]`.

    Args:
        key: the key, dotted: `method.loss`.
        noun: what it names, for messages: `loss`.
        protocol: the import path of the Protocol that the code must keep.
        choices: raymoco's own entries, by name.
        others: valid names without an entry, such as `auto`.
        kind: the class of the entries; its defaults are assumed for third-party code.
        rule: accepts further names; None: they are refused.
        factory: a named class keeps the Protocol's `__call__` by its constructor.
    """

    def __init__(
        self,
        key: str,
        noun: str,
        protocol: str,
        choices: Mapping[str, C],
        others: tuple[str, ...] = (),
        *,
        kind: type[C] | None = None,
        rule: Rule | None = None,
        factory: bool = False,
    ) -> None:
        self.key, self.noun, self.protocol = key, noun, protocol
        self.choices, self.others = dict(choices), others
        self.kind = kind or type(next(iter(choices.values())))
        self.rule, self.factory = rule, factory

    def at(self, key: str) -> Self:
        """Return the same registry with another key in its messages."""
        other = copy.copy(self)
        other.key = key
        return other

    @property
    def names(self) -> tuple[str, ...]:
        """Every short name, `others` first."""
        return (*self.others, *self.choices)

    def find(self, value: str | Mapping[str, Any]) -> C | None:
        """The entry of a value; None for third-party code."""
        return self.choices.get(name_of(value))

    def facts(self, value: str | Mapping[str, Any], *, look: bool = False) -> C:
        """The facts about a value: raymoco's entry, or safe assumptions about third-party code.

        Args:
            look: import third-party code and use its class attributes.
        """
        choice = self.find(value)
        if choice is not None:
            return choice
        path = name_of(value)
        if not look:
            return self.kind(path, "")
        found = self.load(value)
        said = [name for name in self.kind.attributes if hasattr(found, name)]
        return self.kind(path, "", **{name: getattr(found, name) for name in said})

    def load(self, value: str | Mapping[str, Any]) -> Any:
        """Import the code that a value names, and check that it keeps the Protocol.

        Raises:
            ConfigError: the module or the name in it does not exist, importing it fails, or the
                code does not keep the Protocol; says what is missing.
        """
        name = name_of(value)
        choice = self.choices.get(name)
        if choice is None and self.rule is not None and ":" not in name:
            return _import(self.rule.path, self.key)(name)
        found = _import(choice.path if choice else name, f"{self.key} is '{name}'")
        if choice is None:
            protocol = _import(self.protocol, self.key)
            missing = what_is_missing(found, protocol, factory=self.factory)
            if missing:
                raise ConfigError(
                    f"{self.key} is '{name}', but it is no {self.noun}: {missing}. It must keep "
                    f"{self.protocol}."
                )
        return found

    def options(
        self,
        value: str | Mapping[str, Any],
        found: Any,
        beside: Mapping[str, Any] | None = None,
    ) -> Any:
        """Check the options beside a name by the code's own pydantic model, `Options`.

        Args:
            value: a name, or a mapping with the options beside it.
            found: the code that `load` returned for it.
            beside: the section of the config that contains the key; the options of an entry with
                `keys` are there.
        Returns:
            An instance of `found.Options`; None where the code has none.
        Raises:
            ConfigError: an option is unknown or wrong, or the code takes none.
        """
        given = options_of(value)
        choice = self.find(value)
        model = options_model(found)
        if choice is not None and choice.keys:
            section = self.key.rpartition(".")[0]
            for key in given:
                if key in choice.keys:
                    raise ConfigError(
                        f"{self.key}.{key} is given, but its place is {section}.{key}."
                    )
            given |= {key: beside[key] for key in choice.keys if beside and key in beside}
            if not given.keys() - choice.keys:  # all of them are in the section
                return check_options(model, given, section, name_of(value)) if model else None
        if model is None:
            if given:
                raise ConfigError(
                    f"{self.key}.{next(iter(given))} is given, but {name_of(value)} has no options."
                )
            return None
        return check_options(model, given, self.key, name_of(value))

    def make(
        self,
        value: str | Mapping[str, Any],
        *arguments: Any,
        beside: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Any:
        """Call the code that a value names; its options, if it has any, come as `options=`.

        Args:
            beside: as for `options`.
        Raises:
            ConfigError: as `load` and `options`; or third-party code raises an error.
        """
        found = self.load(value)
        options = self.options(value, found, beside)
        if options is not None:
            named[OPTIONS] = options
        try:
            return found(*arguments, **named)
        except Exception as error:
            if isinstance(error, RaymocoError) or ":" not in name_of(value):
                raise
            # third-party code may raise anything: show its message
            raise ConfigError(
                f"{self.key} is '{name_of(value)}', but building it fails: "
                f"{type(error).__name__}: {error}"
            ) from error

    def spelled(self, value: str | Mapping[str, Any]) -> str | dict[str, Any]:
        """The value with every option of third-party code written out, also the defaults."""
        if ":" not in name_of(value):
            return value if isinstance(value, str) else dict(value)
        options = self.options(value, self.load(value))
        written = {} if options is None else options.model_dump(mode="json")
        return {NAME: name_of(value), **written} if written else name_of(value)

    def validate(self, value: Any) -> Any:
        """Check a value for pydantic and normalize it: `{name: x}` alone becomes `x`.

        Raises:
            ValueError: no such name; import paths are imported only when a run is resolved.
        """
        if isinstance(value, Mapping):
            if not isinstance(value.get(NAME), str):
                raise ValueError(f"{self.key} is a mapping, so it needs a {NAME}")
            if len(value) == 1:
                value = value[NAME]
        elif not isinstance(value, str):
            raise ValueError(f"{self.key} is {value!r}, but must be a name or a mapping with one")
        name = name_of(value)
        # names for a rule are checked when a run is resolved, because the rule imports code
        ruled = self.rule is not None and name != "" and ":" not in name
        if not (name in self.names or ruled or IMPORT_PATH.fullmatch(name)):
            close = nearest(name, self.names).removesuffix(".")
            raise ValueError(
                f"{self.key} is '{name}', but must be one of {', '.join(self.names)}, or "
                f"your own package.module:Name{close}"
            )
        return value

    def words(self) -> list[dict[str, Any]]:
        """The JSON Schemas of a name alone."""
        path = {"type": "string", "pattern": f"^{IMPORT_PATH.pattern}$"}
        words: list[dict[str, Any]] = [{"enum": list(self.names)}, path]
        if self.rule is not None:
            words.append({"type": "string", "pattern": "^[^:]+$", "description": self.rule.summary})
        return words

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the key."""
        name = {NAME: {"anyOf": self.words()}}
        return {
            "anyOf": [*self.words(), {"type": "object", "required": [NAME], "properties": name}]
        }

    @property
    def annotation(self) -> Any:
        """The type of the key in a pydantic model, for models that no type checker reads."""
        return Annotated[Named, self]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.validate, handler(source))

    def __get_pydantic_json_schema__(
        self, source: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return self.schema()


def name_of(value: str | Mapping[str, Any]) -> str:
    """The name in a value, with or without options beside it."""
    return value if isinstance(value, str) else str(value[NAME])


def options_of(value: str | Mapping[str, Any]) -> dict[str, Any]:
    """The options beside a name."""
    return {} if isinstance(value, str) else {k: v for k, v in value.items() if k != NAME}


def _import(path: str, what: str) -> Any:
    module_name, _, name = path.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{what}, but there is no module '{error.name}'. It must be installed, or lie in the "
            "working directory of the command."
        ) from None
    except Exception as error:
        # importing third-party code may raise anything: show its message
        raise ConfigError(
            f"{what}, but importing {module_name} fails: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, name):
        public = [n for n in vars(module) if not n.startswith("_")]
        raise ConfigError(f"{what}, but {module_name} has no '{name}'{nearest(name, public)}")
    return getattr(module, name)
