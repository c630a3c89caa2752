"""Read a RunConfig from a preset, a YAML file and `key=value` overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module, resources
from os.path import exists, isdir  # Path's own raise where a name is too long
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raymoco.choices import PRESETS_OF_IMAGES, ROOTLESS
from raymoco.config.run import RunConfig
from raymoco.dotted_keys import spread
from raymoco.errors import ConfigError
from raymoco.reading import expanded, shown
from raymoco.yamlfile import (
    YAML_NAMES,
    Document,
    apply_overrides,
    flatten,
    located,
    merge,
    nearest,
    read_yaml,
    text_keys,
    validate,
)

TYPED = "command line: "  # how the place of an override begins
# what the folders of our own have: a run's, a sweep's, those of shards
RUN_FILE, SWEEP_FILE, SHARDS_FILE = "config.yaml", "sweep.yaml", "manifest.json"
JOURNAL_FILE = "journal.jsonl"
SWEEP_KINDS = ("search", "ablation")


@dataclass(frozen=True)
class Decision:
    """A value that follows from the images, and why."""

    key: str
    value: Any
    why: str


@dataclass(frozen=True)
class Composed:
    """A config, and how it came about.

    Attributes:
        config: checked.
        notes: what was found in the images and decided by them, a line each.
        sources: where a value was written, by dotted key; what is missing is a default.
    """

    config: RunConfig
    notes: tuple[str, ...]
    sources: dict[str, str]


def preset_names() -> list[str]:
    """The names of the presets that raymoco ships."""
    folder = resources.files("raymoco") / "presets"
    return sorted(
        Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def preset_comment(name: str) -> str:
    """The sentence at the beginning of a preset: which images it is for."""
    path = resources.files("raymoco") / "presets" / f"{name}.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    said = []
    for line in lines:
        if not line.startswith("#"):
            break
        said.append(line.removeprefix("#").strip())
    return " ".join(said)


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


def compose_run(document: Document, prefix: str = "") -> Composed:
    """A RunConfig from a document that may name a `preset`, and where its values are from.

    The preset `folder` looks at the images: what follows from them is a value like any other.

    Raises:
        ConfigError: something in the document is wrong; names file and line.
        DataError: the preset's images cannot be used.
    """
    named = document.values.pop("preset", None)
    preset = None if named is None else str(named)
    notes: list[str] = []
    said = list(flatten(document.values))
    if preset is not None:
        start = preset_values(preset, document.origin(("preset",)))
        other = _needs_folder(document, start, prefix)
        if other is not None:
            notes.append(other.replace("PRESET", preset))
            preset, start = "folder", preset_values("folder")
        decisions = _decisions(preset, merge(start, document.values), notes)
        made = Document({})
        for decision in decisions:
            made.set(decision.key, decision.value, "")
        laid = merge(merge(start, made.values), document.values)
        document = Document(laid, document.origins, document.file)
    else:
        start, decisions = {}, []
    config = validate(RunConfig, document, prefix)
    reasons = {one.key: one.why for one in decisions}
    sources = dict.fromkeys(flatten(start), f"preset {preset}") | {
        key: f"{preset}'s table: {why}" for key, why in reasons.items()
    }
    sources |= {key: document.origin(tuple(key.split("."))) for key in said}
    for one in decisions:
        if one.key not in said:
            notes.append(f"{prefix}{one.key} {one.value}: {one.why}")
    return Composed(config, tuple(notes), sources)


def build_run_config(document: Document, prefix: str = "") -> RunConfig:
    """A RunConfig from a document that may name a `preset` to start from."""
    return compose_run(document, prefix).config


def read_run(word: str, overrides: Iterable[str] = ()) -> Composed:
    """Read what `raymoco train` is given: a preset's name, a YAML file, a folder of images, or the
    folder of a run; with `key=value` overrides on top.

    Raises:
        ConfigError: no such preset, file or folder, or something in it is wrong; names file and
            line.
        DataError: the images of a folder cannot be used.
    """
    path = expanded(word)
    if path.suffix in YAML_NAMES or (exists(path) and not isdir(path)):
        document = _config_document(path)
    elif word in preset_names():
        document = Document({"preset": word})
    elif isdir(path):
        document = _folder_document(path)
    else:
        names = preset_names()
        raise ConfigError(
            f"no preset, file or folder is called '{shown(word)}'{nearest(word, names)} "
            f"The presets are: {', '.join(names)}."
        )
    apply_overrides(document, overrides, {"preset", *text_keys(RunConfig)})
    return compose_run(document)


def load_run_config(word: str, overrides: Iterable[str] = ()) -> RunConfig:
    """The config that `read_run` reads."""
    return read_run(word, overrides).config


def _config_document(path: Path) -> Document:
    """A run's config; keys with dots are in their places.

    Raises:
        ConfigError: it is another file of ours; says what it is for.
    """
    document = read_yaml(path)
    values, name = document.values, shown(path)
    if values.get("kind") in SWEEP_KINDS or {"search", "factors"} & values.keys():
        raise ConfigError(
            f"{name} is a sweep file, and no run's config: `raymoco sweep {name}` runs it."
        )
    if {"schema_version", "fingerprint"} <= values.keys():
        raise ConfigError(f"{name} is the manifest of shards, and no run's config.")
    spread(document, RunConfig)
    return document


def _folder_document(path: Path) -> Document:
    """A folder of images, or of a run."""
    if (path / RUN_FILE).is_file() and (path / JOURNAL_FILE).exists():
        return _config_document(path / RUN_FILE)
    if (path / SWEEP_FILE).is_file() and (path / JOURNAL_FILE).exists():
        best = path / "best.yaml"
        hint = f"`raymoco train {best}` trains its best trial again; " if best.is_file() else ""
        raise ConfigError(
            f"{path} is the folder of a sweep: {hint}`raymoco sweep {path / SWEEP_FILE} --resume` "
            "goes on with it."
        )
    if (path / SHARDS_FILE).is_file() and any(path.glob("*/*.parquet")):
        raise ConfigError(
            f"{path} has shards that raymoco built: train on what they were built from, and they "
            "are found by themselves."
        )
    typed: dict[tuple[str, ...], str] = {("data", "root"): f"{TYPED}{path}"}
    return Document({"preset": "folder", "data": {"root": str(path)}}, typed)


def _needs_folder(document: Document, start: Mapping[str, Any], prefix: str) -> str | None:
    """Say why the preset `folder` is meant; None where the preset itself is.

    The images of some presets need no folder. In a file one says so with another preset; on the
    command line a folder of one's own is enough: `raymoco sweep demo.yaml run.data.root=FOLDER`.

    Raises:
        ConfigError: both are written in one place, so that it is not clear what is meant.
    """
    data = document.values.get("data")
    root = data.get("root") if isinstance(data, Mapping) else None
    merged = merge(start, document.values).get("data")
    source = merged.get("source") if isinstance(merged, Mapping) else None
    if root is None or source not in ROOTLESS:
        return None
    where, preset_at = document.origin(("data", "root")), document.origin(("preset",))
    typed = [place.startswith(TYPED) for place in (where, preset_at)]
    if typed == [True, False] and preset_at and "source" not in data:  # type: ignore[operator]
        return f"{prefix}data.root is given, so the preset is folder instead of PRESET"
    raise ConfigError(
        located(
            where,
            f"{prefix}data.root is {root}, but data.source {source} brings its images and takes no "
            f"folder. For a folder of images: {_how(prefix, root)}.",
        )
    )


def _how(prefix: str, root: Any) -> str:
    return f"{prefix}preset=folder {prefix}data.root={root}" if prefix else f"raymoco train {root}"


def _decisions(preset: str, values: Mapping[str, Any], notes: list[str]) -> list[Decision]:
    """What follows from the images of a preset; nothing while it is not said where they are."""
    choice, data = PRESETS_OF_IMAGES.get(preset), values.get("data")
    if choice is None or not isinstance(data, Mapping) or not data.get("root"):
        return []
    module, _, name = choice.path.partition(":")
    try:
        found, decisions = getattr(import_module(module), name)(data)
    except ValidationError:  # the whole config is validated next, with the places of its mistakes
        return []
    notes.append(found)
    return list(decisions)
