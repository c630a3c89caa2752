"""Read a RunConfig from a preset, a YAML file and `key=value` overrides."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from raymoco.config.run import RunConfig
from raymoco.errors import ConfigError
from raymoco.yamlfile import (
    Document,
    apply_overrides,
    located,
    merge,
    nearest,
    read_yaml,
    text_keys,
    validate,
)


def preset_names() -> list[str]:
    """The names of the presets that raymoco ships."""
    folder = resources.files("raymoco") / "presets"
    return sorted(
        Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def preset_values(name: str, where: str = "") -> dict[str, Any]:
    """The values of a preset.

    Raises:
        ConfigError: no preset has that name.
    """
    names = preset_names()
    if name not in names:
        there_are = f"There are: {', '.join(names)}."
        raise ConfigError(
            located(where, f"no preset is called '{name}'{nearest(name, names)} {there_are}")
        )
    return read_yaml(Path(str(resources.files("raymoco") / "presets" / f"{name}.yaml"))).values


def build_run_config(document: Document, prefix: str = "") -> RunConfig:
    """A RunConfig from a document that may name a `preset` to start from."""
    preset = document.values.pop("preset", None)
    if preset is not None:
        start = preset_values(str(preset), document.origin(("preset",)))
        document = Document(merge(start, document.values), document.origins)
    return validate(RunConfig, document, prefix)


def load_run_config(preset_or_path: str, overrides: Iterable[str] = ()) -> RunConfig:
    """A RunConfig from a preset's name or a YAML file, with `key=value` overrides on top.

    Raises:
        ConfigError: no such preset or file, or something in it is wrong; names file and line.
    """
    path = Path(preset_or_path)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        document = read_yaml(path)
    else:
        document = Document({"preset": preset_or_path})
    apply_overrides(document, overrides, {"preset", *text_keys(RunConfig)})
    return build_run_config(document)
