"""Which images a word on the command line means: shards, a preset, a YAML file, a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raymoco.config import RunConfig, load_run_config, preset_names
from raymoco.data.shards.manifest import MANIFEST, ShardSet, load_shards
from raymoco.engine.output_folder import MARKS
from raymoco.errors import ConfigError

NAMED = 5  # folders in a message


def shards_at(place: str) -> ShardSet | None:
    """The shards in a folder; None if it holds no manifest.

    Raises:
        ConfigError: it holds folders of shards; names some.
        DataError: the shards cannot be used.
    """
    folder = Path(place)
    if (folder / MANIFEST).exists():
        return load_shards(folder)
    inner = sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST}"))
    if inner:
        more = f" and {len(inner) - NAMED} more" if len(inner) > NAMED else ""
        raise ConfigError(
            f"{folder} holds {len(inner)} folders of shards, {', '.join(inner[:NAMED])}{more}: "
            f"name one, such as {folder / inner[0]}."
        )
    return None


def config_of(place: str, overrides: Sequence[str]) -> RunConfig:
    """The config of a preset, of a YAML file (of a sweep: its run), of a run, or of images.

    Raises:
        ConfigError: it is none of these; or something in it is wrong.
    """
    path = Path(place)
    if path.is_dir():
        marks = [path / mark for mark in MARKS.values() if (path / mark).is_file()]
        if not marks:
            return _of_folder(path, overrides)
        path = marks[0]
    if path.is_file() and _is_sweep(path):
        from raymoco.study.sweepfile.load import load_sweep

        return load_sweep(path, overrides).base
    if not path.exists() and path.name == place and path.suffix not in {".yaml", ".yml"}:
        return load_run_config(place, overrides)
    if not path.exists():
        raise ConfigError(
            f"{place}: no such file or folder. Give a folder of shards or of images, a YAML file, "
            f"or a preset: {', '.join(preset_names())}."
        )
    return load_run_config(str(path), overrides)


def _of_folder(path: Path, overrides: Sequence[str]) -> RunConfig:
    """Images as the preset `folder` would see them, but of any number: nothing is trained."""
    from raymoco.data.sources.probe import probe
    from raymoco.engine.folder_preset import decide_data

    config = load_run_config("digits", ["data.source=folder", *overrides])
    config = config.with_values({"data.root": str(path)})
    typed = {text.partition("=")[0] for text in overrides}
    decisions = {one.key: one.value for one in decide_data(probe(config.data))}
    if typed.isdisjoint(decisions):  # view_size goes with image_size
        return config.with_values(decisions)
    return config.with_values(
        {"data.views": decisions["data.views"]} if "data.views" not in typed else {}
    )


def _is_sweep(path: Path) -> bool:
    from raymoco.yamlfile import read_yaml

    return "kind" in read_yaml(path).values
