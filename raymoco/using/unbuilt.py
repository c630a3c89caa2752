"""Images that are in no shard: the files of a folder or a source, as they lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raymoco.choices import SOURCES
from raymoco.config import DataConfig, RunConfig
from raymoco.data.sources.file_kinds import FileKind, kind_of
from raymoco.errors import ConfigError
from raymoco.registry import IMPORT_PATH
from raymoco.yamlfile import Document, apply_overrides, text_keys, validate

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".txt", ".list")
TARS = (".tar", ".tgz", ".tar.gz")


def data_of(word: str, overrides: Sequence[str] = ()) -> DataConfig:
    """The images that a word means: a folder, a source, SOURCE:ROOT, or a file that lists images.

    Args:
        overrides: `data.KEY=VALUE`, such as `data.columns.image=img`.
    Raises:
        ConfigError: it means none of these, or an override is wrong.
    """
    source, root = _meant(word)
    values: dict[str, Any] = {"source": source, **({"root": root} if root else {})}
    document = Document({"data": values})
    apply_overrides(document, overrides, text_keys(RunConfig))
    return validate(RunConfig, document).data


def _meant(word: str) -> tuple[str, str | None]:
    path = Path(word).expanduser()
    if path.is_dir():
        return "folder", str(path)
    name, _, root = word.partition(":")
    if name in SOURCES.names:
        return name, root or None
    if IMPORT_PATH.match(word):
        name, _, root = word.removeprefix(f"{name}:").partition(":")
        return f"{word.partition(':')[0]}:{name}", root or None
    if not path.is_file():
        raise ConfigError(
            f"'{word}': no such folder, and no source of images; give a folder, or SOURCE:ROOT "
            f"with one of {', '.join(SOURCES.names)}."
        )
    if word.endswith(TARS):
        return "webdataset", str(path)
    if word.endswith(TABLES):
        return "files", str(path)
    if word.endswith(".parquet"):
        raise ConfigError(
            f"{word}: say what is in it: parquet:{word} (a column of images) or files:{word} "
            "(a column of paths)."
        )
    if kind_of(path.name)[0] is FileKind.IMAGE:
        raise ConfigError(
            f"{word} is a single image: give its folder, or use "
            f'`load_encoder(...).features_of(["{word}"])`.'
        )
    raise ConfigError(f"{word}: neither a folder, nor a table of images, nor a tar of samples.")
