"""How a name in a config becomes code: ours by a short name, anybody's by `package.module:Name`.

A registry knows paths and imports nothing until somebody asks for the code, so that reading a
config costs no torch. What raymoco ships stands in raymoco/choices.py.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError, WithJsonSchema

from raymoco.errors import ConfigError
from raymoco.yamlfile import nearest

IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
NAME = "name"  # in `{name: mylab.losses:Triplet, margin: 0.2}`: what the options belong to


@dataclass(frozen=True)
class Choice:
    """One thing that raymoco ships.

    Attributes:
        path: where its code is, `package.module:Name`.
        summary: one line for people who look for it.
    """

    path: str
    summary: str


C = TypeVar("C", bound=Choice)


class Registry(Generic[C]):
    """All that one key of a config may name.

    Args:
        key: the key, dotted: `method.loss`.
        noun: what it names, for messages: `loss`.
        protocol: the path of the Protocol that the code must keep.
        choices: what raymoco ships, by name.
        others: names that are no choice of ours and still right, such as `auto`.
    """

    def __init__(
        self,
        key: str,
        noun: str,
        protocol: str,
        choices: Mapping[str, C],
        others: tuple[str, ...] = (),
    ) -> None:
        self.key, self.noun, self.protocol = key, noun, protocol
        self.choices, self.others = dict(choices), others

    @property
    def names(self) -> tuple[str, ...]:
        """Every short name, `others` first."""
        return (*self.others, *self.choices)

    def find(self, value: str | Mapping[str, Any]) -> C | None:
        """What raymoco ships under this value; None for somebody else's."""
        return self.choices.get(name_of(value))

    def load(self, value: str | Mapping[str, Any]) -> Any:
        """The code that a value names, imported; it keeps the protocol.

        Raises:
            ConfigError: the module or the name in it is not there, importing it fails, or what is
                there does not keep the protocol; says what is missing.
        """
        name = name_of(value)
        choice = self.choices.get(name)
        found = _import(choice.path if choice else name, f"{self.key} is '{name}'")
        if choice is None:
            missing = what_is_missing(found, _import(self.protocol, self.key))
            if missing:
                raise ConfigError(
                    f"{self.key} is '{name}', but it is no {self.noun}: {missing}. It must keep "
                    f"{self.protocol}."
                )
        return found

    def options(self, value: str | Mapping[str, Any], found: Any) -> Any:
        """The options beside a name, checked by the code's own pydantic model, `Options`.

        Args:
            value: a name, or a mapping with the options beside it.
            found: what `load` returned for it.
        Returns:
            An instance of `found.Options`; None where the code has none.
        Raises:
            ConfigError: an option is unknown or wrong, or the code takes none.
        """
        given = {} if isinstance(value, str) else {k: v for k, v in value.items() if k != NAME}
        model = getattr(found, "Options", None)
        if model is None:
            if given:
                raise ConfigError(
                    f"{self.key}.{next(iter(given))} is given, but {name_of(value)} has no options."
                )
            return None
        return check_options(model, given, self.key, name_of(value))

    def validate(self, value: Any) -> Any:
        """A value as a config holds it: `{name: x}` alone becomes `x`; for pydantic.

        Raises:
            ValueError: no such name; somebody else's path is looked at when a run is resolved.
        """
        if isinstance(value, Mapping):
            if not isinstance(value.get(NAME), str):
                raise ValueError(f"{self.key} is a mapping, so it needs a {NAME}")
            if len(value) == 1:
                value = value[NAME]
        name = name_of(value)
        if name not in self.names and not IMPORT_PATH.fullmatch(name):
            close = nearest(name, self.names).removesuffix(".")
            raise ValueError(
                f"{self.key} is '{name}', but must be one of {', '.join(self.names)}, or "
                f"somebody's package.module:Name{close}"
            )
        return value

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the key."""
        word = {
            "anyOf": [
                {"enum": list(self.names)},
                {"type": "string", "pattern": f"^{IMPORT_PATH.pattern}$"},
            ]
        }
        with_options = {"type": "object", "required": [NAME], "properties": {NAME: word}}
        return {"anyOf": [*word["anyOf"], with_options]}

    @property
    def annotation(self) -> Any:
        """The type of the key in a pydantic model."""
        return Annotated[
            str | dict[str, Any], AfterValidator(self.validate), WithJsonSchema(self.schema())
        ]


def name_of(value: str | Mapping[str, Any]) -> str:
    """The name in a value, with or without options beside it."""
    return value if isinstance(value, str) else str(value[NAME])


def check_options(model: type[BaseModel], given: Mapping[str, Any], key: str, name: str) -> Any:
    """Build somebody's options model.

    Raises:
        ConfigError: names key, value and what it must be; for an unknown one the nearest.
    """
    unknown = [option for option in given if option not in model.model_fields]
    if unknown:
        known = ", ".join(model.model_fields) or "none"
        raise ConfigError(
            f"{key}.{unknown[0]}: {name} has no such option"
            f"{nearest(unknown[0], model.model_fields)} Its options are: {known}.",
            (*key.split("."), unknown[0]),
        )
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join([key, *map(str, problem["loc"])])
        reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        about = tuple(where.split("."))
        if problem["type"] == "missing":
            raise ConfigError(f"{where} is missing: {name} needs it.", about) from None
        if problem["type"] == "value_error":
            raise ConfigError(f"{where}: {reason}.", about) from None
        raise ConfigError(
            f"{where} is {problem['input']!r}, but must {reason.removeprefix('should ')}.", about
        ) from None


def what_is_missing(found: Any, protocol: type) -> str:
    """Why an object does not keep a protocol, in words; '' if it does.

    A class must have every member, and its methods must take what the protocol's take; a protocol
    of `__call__` alone is kept by any function of that many arguments.
    """
    if not callable(found):
        return "it cannot be called"
    wanted = {
        name: member
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and (name == "__call__" or not name.startswith("_"))
    }
    wanted.pop("__init__", None)
    holder = found if inspect.isclass(found) else type(found)
    if inspect.isfunction(found) or inspect.isbuiltin(found):
        if list(wanted) != ["__call__"]:
            lacking = [name for name in wanted if name != "__call__"]
            return f"a function has no {lacking[0]}()" if lacking else "it is a function"
        return _does_not_take(found, wanted["__call__"], bound=True)
    for name, member in wanted.items():
        method = inspect.getattr_static(holder, name, None)
        if method is None:
            return f"it has no {name}()"
        if inspect.isfunction(method):
            problem = _does_not_take(method, member, bound=False)
            if problem:
                return problem
    for name in _attributes(protocol):
        on_class = hasattr(holder, name) or name in getattr(holder, "__annotations__", {})
        # what __init__ sets is not seen on a class
        if not on_class and not inspect.isclass(found):
            return f"it has no attribute {name}"
    return ""


def _attributes(protocol: type) -> list[str]:
    declared = vars(protocol).get("__annotations__", {})
    properties = [n for n, m in vars(protocol).items() if isinstance(m, property)]
    return [name for name in (*declared, *properties) if not name.startswith("_")]


def _does_not_take(function: Any, wanted: Any, *, bound: bool) -> str:
    """Whether a method could be called as the protocol calls it; in words if not."""
    try:
        has = inspect.signature(function)
    except (TypeError, ValueError):  # written in C: it will say so itself
        return ""
    parameters = list(inspect.signature(wanted).parameters.values())[1:]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keywords = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY]
    arguments = [None] * (len(positional) + (0 if bound else 1))
    try:
        has.bind(*arguments, **dict.fromkeys(keywords))
    except TypeError as error:
        listed = ", ".join(p.name for p in parameters)
        return f"{wanted.__name__}({listed}) cannot be called: {error}"
    return ""


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
        # somebody else's code, run for the first time: whatever it raises is their message
        raise ConfigError(
            f"{what}, but importing {module_name} fails: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, name):
        public = [n for n in vars(module) if not n.startswith("_")]
        raise ConfigError(f"{what}, but {module_name} has no '{name}'{nearest(name, public)}")
    return getattr(module, name)
