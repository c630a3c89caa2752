"""Names in a list and paths of files that mean the same, although they are written differently.

Each form rewrites both sides; the first under which a name has one file decides. A form is more
tolerant than those before it, so that whoever writes paths as they are gets exactly those.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from raymoco.data.sources.table_columns import has_suffix

UNTIDY = re.compile(r"\\|//|^\s|\s$|^/|^file:|(^|/)\.{1,2}/")  # most names are not
LOOKED_AT = 50_000  # paths among which the nearest is looked for


@dataclass(frozen=True)
class Form:
    """A way of writing names.

    Attributes:
        said: how a name that is found by it differs from the file's, after "in spite of".
        of_name: what to look for, the first that is found; empty: this form is not for that name.
        of_path: under what a file is found.
    """

    said: str
    of_name: Callable[[str, Path], Sequence[str]]
    of_path: Callable[[str], Sequence[str]]


def key_of(name: str) -> int:
    """64 bits that stand for a name."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def plain(name: str, root: Path) -> str:
    """The name with `/` between folders, without `./`, and below the root if it is absolute."""
    if not UNTIDY.search(name):
        return name
    name = name.strip().removeprefix("file://").replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    while ".." in parts[1:]:
        place = parts.index("..", 1)
        if parts[place - 1] == "..":
            break
        del parts[place - 1 : place + 1]
    if name.startswith("/"):
        path = PurePosixPath("/", *parts)
        for top in (root, root.resolve()):
            if path.is_relative_to(top) and path.parts != top.parts:
                return path.relative_to(top).as_posix()
        return path.as_posix()
    return "/".join(parts)


def _below(name: str, root: Path) -> str:
    """The name without the root's own name, and what is above it, at its beginning."""
    found = plain(name, root)
    parts = [part for part in found.split("/") if part] or [""]
    if found.startswith("/") or found[1:2] == ":" or parts[:1] == [".."]:
        places = [i for i, part in enumerate(parts[:-1]) if part == root.name]
        return "/".join(parts[places[-1] + 1 :]) if places else found
    if parts[0] not in _parts_of(root):
        return found
    for length in range(len(root.parts) - 1, 0, -1):
        if parts[:length] == list(root.parts[-length:]) and len(parts) > length:
            return "/".join(parts[length:])
    return found


@lru_cache(maxsize=8)
def _parts_of(root: Path) -> frozenset[str]:
    return frozenset(root.parts)


def _slashes(path: str) -> str:
    return path.replace("\\", "/")


def _nfc(path: str) -> str:
    path = _slashes(path)
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def _folded(path: str) -> str:
    path = _nfc(path).casefold()
    if len(path.split()) == 1:  # no spaces
        return path
    return "/".join(" ".join(part.split()) for part in path.split("/"))


def _tolerant(name: str, root: Path) -> str:
    return _folded(_below(name, root))


def _tails(path: str) -> tuple[str, ...]:
    places = (place for place, letter in enumerate(path) if letter == "/")
    return tuple(path[place + 1 :] for place in places)


def _stem(path: str) -> str:
    return path.rpartition(".")[0] if has_suffix(path) else path


def _without_suffix(name: str, root: Path) -> tuple[str, ...]:
    return () if has_suffix(name) else (_tolerant(name, root),)


def _of_elsewhere(name: str, root: Path) -> tuple[str, ...]:
    found = _tolerant(name, root)
    away = found.startswith(("/", "../")) or found[1:2] == ":"
    return _tails(found.lstrip("/")) if away else ()


FORMS = (
    Form(
        "backslashes, ./ or the whole path",
        lambda name, root: (plain(name, root),),
        lambda path: (_slashes(path),),
    ),
    Form(
        "the folder's own name at the beginning",
        lambda name, root: (_below(name, root),),
        lambda path: (_slashes(path),),
    ),
    Form(
        "accents in another Unicode form (NFC, NFD)",
        lambda name, root: (_nfc(_below(name, root)),),
        lambda path: (_nfc(path),),
    ),
    Form(
        "upper and lower case, or spaces",
        lambda name, root: (_tolerant(name, root),),
        lambda path: (_folded(path),),
    ),
    Form(
        "the missing folder",
        lambda name, root: (_tolerant(name, root),),
        lambda path: _tails(_folded(path)),
    ),
    Form(
        "the missing suffix",
        _without_suffix,
        lambda path: (_stem(_folded(path)),),
    ),
    Form(
        "the missing folder and suffix",
        _without_suffix,
        lambda path: _tails(_stem(_folded(path))),
    ),
    Form(
        "a path of another machine",
        _of_elsewhere,
        lambda path: (_folded(path),),
    ),
)


class Nearest(NamedTuple):
    """The name of an image that is most like another one; "" if none is."""

    path: str
    ratio: float


def nearest(name: str, paths: Iterable[str]) -> str:
    """The path that is most like a name, among the first 50,000; "" if none is like it."""
    wanted = _folded(_slashes(name))
    base = wanted.rpartition("/")[2]
    best = Nearest("", 0.6)
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(base)
    for _, path in zip(range(LOOKED_AT), paths, strict=False):
        found = _folded(path)
        matcher.set_seq1(found.rpartition("/")[2])
        if matcher.real_quick_ratio() <= best.ratio or matcher.quick_ratio() <= best.ratio:
            continue
        ratio = matcher.ratio() + (0.01 if found == wanted else 0)
        if ratio > best.ratio:
            best = Nearest(path, ratio)
    return best.path
