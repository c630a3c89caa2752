"""Folders of images as people have them: each situation is a few lines of a test.

root = people_folder(tmp_path / "in", {"cats": 60, "dogs": 60, "cats/notes.txt": "x"})
shards = built(root, tmp_path / "out")
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raymoco.config import DataConfig
from raymoco.data.account import KeepsAccount, Remark
from raymoco.data.shards.ensure import ShardSet, build_shards
from raymoco.data.sources.open import open_source
from raymoco.data.sources.source import Entry

SIDE = 32


@dataclass(frozen=True)
class Link:
    """A symbolic link to `target`, which may be missing."""

    target: str | Path


@dataclass(frozen=True)
class Pipe:
    """A named pipe, from which a careless read never returns."""


Content = int | bytes | str | Link | Pipe


def pixels(seed: str) -> np.ndarray:
    """Return 32x32 pixels in color that no other seed has."""
    rng = np.random.default_rng(zlib.crc32(seed.encode("utf-8", "surrogateescape")))
    small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return small.repeat(SIDE // 4, 0).repeat(SIDE // 4, 1)


def image_bytes(seed: str, suffix: str = ".png") -> bytes:
    """Encode an image in the format of a suffix; another seed gives another image."""
    stream = io.BytesIO()
    format_ = Image.registered_extensions().get(suffix.lower(), "PNG")
    Image.fromarray(pixels(seed)).save(stream, format=format_)
    return stream.getvalue()


def people_folder(root: Path, contents: Mapping[str, Content]) -> Path:
    """Make a folder, or add to it.

    Args:
        root: made if it is missing.
        contents: by path below it. A number: so many PNG images in a folder of that name ("":
            root itself), or images of another format and name (`cats/*.avif`, `cats/IMG_*`).
            Bytes or text: a file. A `Link` or a `Pipe`: what they say.
    Returns:
        root.
    """
    for name, content in contents.items():
        path = root / name
        if isinstance(content, int):
            pattern = path if "*" in path.name else path / "*.png"
            pattern.parent.mkdir(parents=True, exist_ok=True)
            for number in range(content):
                file = pattern.with_name(pattern.name.replace("*", str(number)))
                file.write_bytes(image_bytes(str(file.relative_to(root)), pattern.suffix))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content.target)
        elif isinstance(content, Pipe):
            os.mkfifo(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def entries_of(root: Path, **keys: Any) -> dict[str, Entry]:
    """Every entry of a folder, by id; the keys are those of `data`."""
    source = open_source(DataConfig(source="folder", root=str(root), **keys))
    return {entry.id: entry for entry in source.entries()}


def remarks_of(root: Path, **keys: Any) -> list[Remark]:
    """What the folder source says about a folder once it has listed it."""
    source = open_source(DataConfig(source="folder", root=str(root), **keys))
    assert isinstance(source, KeepsAccount)
    for _ in source.entries():
        pass
    return list(source.account().remarks())


def built(root: Path, out: Path, *, strict: bool = False, **keys: Any) -> ShardSet:
    """The shards of a folder, built in this process; the keys are those of `data`."""
    source = open_source(DataConfig(source="folder", root=str(root), **keys))
    return build_shards(source, out, root=str(root), strict=strict, parallel=False)


def told(root: Path, **keys: Any) -> str:
    """What the folder source says about a folder, a line per remark."""
    return "\n".join(remark.line() for remark in remarks_of(root, **keys))
