"""Check third-party code: its signatures against a Protocol, its options by its own model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError

from raymoco.errors import ConfigError
from raymoco.yamlfile import nearest

OPTIONS = "options"  # the argument that receives the options


def options_model(found: Any) -> type[BaseModel] | None:
    """The pydantic model of a class's or function's options: the attribute `Options`, or the
    annotation of the argument `options`; None where it takes no options.
    """
    model = getattr(found, "Options", None)
    if model is None and inspect.isfunction(found):
        model = get_type_hints(found).get(OPTIONS)
    return model if inspect.isclass(model) and issubclass(model, BaseModel) else None


def what_is_missing(
    found: Any, protocol: type, *, factory: bool = False, built: bool = False
) -> str:
    """Say in words why an object does not keep a Protocol; '' if it does.

    A class must have every member, and its methods must take the arguments of the Protocol's
    methods. Any function with that many arguments keeps a Protocol that has only `__call__`. Where
    the Protocol has an `__init__` of its own, only a class keeps it; its constructor must take
    those arguments, and `options` if there is a model of them.

    Args:
        factory: the Protocol has only `__call__`, and a class keeps it by its constructor.
        built: an object of this class is there already, however it was constructed.
    """
    if not callable(found):
        return "it cannot be called"
    wanted = {
        name: member
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and (name == "__call__" or not name.startswith("_"))
    }
    options = (OPTIONS,) if options_model(found) is not None else ()
    if factory:
        return _does_not_take(found, wanted["__call__"], bound=True, more=options)
    constructor = None if built else vars(protocol).get("__init__")
    holder = found if inspect.isclass(found) else type(found)
    if inspect.isfunction(constructor) and constructor.__name__ == "__init__":
        if not inspect.isclass(found):
            return "it is no class"
        problem = _does_not_take(found, constructor, bound=True, more=options)
        if problem:
            return problem
    elif inspect.isfunction(found) or inspect.isbuiltin(found):
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
        # an attribute that __init__ sets is not visible on a class
        if not on_class and not inspect.isclass(found):
            return f"it has no attribute {name}"
    return ""


def _attributes(protocol: type) -> list[str]:
    declared = vars(protocol).get("__annotations__", {})
    properties = [n for n, m in vars(protocol).items() if isinstance(m, property)]
    return [name for name in (*declared, *properties) if not name.startswith("_")]


def _does_not_take(function: Any, wanted: Any, *, bound: bool, more: tuple[str, ...] = ()) -> str:
    """Say why code cannot be called as the Protocol calls it, and with `more`; '' if it can."""
    try:
        has = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, without a signature: calling it will tell
        return ""
    parameters = list(inspect.signature(wanted).parameters.values())[1:]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keywords = [*(p.name for p in parameters if p.kind == p.KEYWORD_ONLY), *more]
    arguments = [None] * (len(positional) + (0 if bound else 1))
    try:
        has.bind(*arguments, **dict.fromkeys(keywords))
    except TypeError as error:
        listed = ", ".join([*(p.name for p in parameters), *more])
        name = function.__name__ if inspect.isclass(function) else wanted.__name__
        return f"{name}({listed}) cannot be called: {error}"
    return ""


def check_options(model: type[BaseModel], given: Mapping[str, Any], key: str, name: str) -> Any:
    """Validate options by a third-party pydantic model.

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
        where = ".".join([*key.split("."), *map(str, problem["loc"])]).removeprefix(".")
        reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        about = tuple(where.split("."))
        if problem["type"] == "missing":
            raise ConfigError(f"{where} is missing: {name} needs it.", about) from None
        if problem["type"] == "value_error":
            raise ConfigError(f"{where}: {reason}.", about) from None
        raise ConfigError(
            f"{where} is {problem['input']!r}, but must {reason.removeprefix('should ')}.", about
        ) from None
