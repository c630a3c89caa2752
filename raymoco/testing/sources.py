"""Conformance of a source."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raymoco.config import DataConfig
from raymoco.conformance import what_is_missing
from raymoco.data.account import Account, KeepsAccount
from raymoco.data.codec import stored_form
from raymoco.data.sources.open import open_source
from raymoco.data.sources.source import Entry, Source, SourceImage
from raymoco.errors import DataError, InputError
from raymoco.registry import NAME

READ = 200  # entries whose images are read, at most
ELSEWHERE = """
import pickle, sys
source, places = pickle.load(sys.stdin.buffer)
ids = sorted(entry.id for entry in source.entries())
sys.stdout.buffer.write(pickle.dumps((ids, list(source.read(places)), source.fingerprint())))
"""


def check_source(
    source: str | Source,
    *,
    root: str | os.PathLike[str] | None = None,
    change: Callable[[], object] | None = None,
    **options: Any,
) -> None:
    """Check that shards can be built from a source: test every promise of `Source`.

    The suite lists every entry and reads at most 200 images, in this process and in another one:
    use it with a small sample of the images.

    Args:
        source: the value of `data.source`, such as `mylab.sources:Lmdb`; or an open source.
        root: `data.root`. A named source is also opened on a copy of this folder, whose largest
        file
            is then changed: the fingerprint must change too.
        change: called last, instead of that: adds, removes or replaces an image in the files
            themselves.
        options: the options beside the name.
    Raises:
        AssertionError: a promise is not kept; says which.
        InputError: the source cannot be opened at all.
    """
    opened = _open(source, root, options) if isinstance(source, str) else source
    _check_about(opened)
    entries = _check_entries(opened)
    sample = entries[:: max(1, len(entries) // READ)][:READ]
    images = _check_reading(opened, sample)
    print_ = _check_fingerprint(opened)
    if isinstance(source, str):
        again = _open(source, root, options).fingerprint()
        assert again == print_, (
            f"opened again, its fingerprint is {again!r} and not {print_!r}: shards would be taken "
            "for outdated"
        )
    _check_elsewhere(opened, entries, sample, images, print_)
    if change is not None:
        change()
        _check_notices(opened, source, root, options, print_, "a file")
    elif isinstance(source, str) and root is not None and Path(root).is_dir():
        _check_notices_in_a_copy(source, Path(root), options)


def _open(name: str, root: str | os.PathLike[str] | None, options: Mapping[str, Any]) -> Source:
    where = None if root is None else os.fspath(root)
    return open_source(DataConfig(source={NAME: name, **options}, root=where))


def _check_about(source: Source) -> None:
    missing = what_is_missing(type(source), Source, built=True)
    assert not missing, f"it is no source: {missing}"
    name, classes = source.name, source.classes
    assert isinstance(name, str), f"its name is {name!r}, but must be text"
    assert name, "its name is empty"
    assert name.isprintable(), f"its name is {name!r}, but must be printable"
    assert isinstance(classes, tuple), f"its classes are {classes!r}, but must be a tuple of text"
    for word in classes:
        assert isinstance(word, str), f"its class {word!r} must be text"
    twice = [word for word, count in Counter(classes).items() if count > 1]
    assert not twice, f"two of its classes are called {twice[0]!r}"


def _check_entries(source: Source) -> list[Entry]:
    entries = list(source.entries())
    assert entries, "it lists no image"
    for entry in entries:
        assert isinstance(entry, Entry), f"entries() gives {entry!r}, but must give Entry"
        about = f"the entry {entry.id!r}"
        for field in ("id", "place", "together"):
            value = getattr(entry, field)
            assert isinstance(value, str), f"{about} has the {field} {value!r}, but it must be text"
        assert entry.id, "an entry has an empty id"
        assert entry.id.isprintable(), f"{about} must have a printable id"
        assert entry.split in (None, "train", "eval", "test"), (
            f"{about} is in the split {entry.split!r}, but must be in train, eval or test, or in "
            "None, which leaves it to raymoco"
        )
        label, size = entry.label, entry.bytes
        number = isinstance(label, int) and not isinstance(label, bool)
        assert label is None or number, f"{about} has the label {label!r}: no int, and not None"
        assert label is None or 0 <= label < len(source.classes), (
            f"{about} has the label {label}, but there are {len(source.classes)} classes"
        )
        assert isinstance(size, int), f"{about} has {size!r} bytes, but they must be an int"
        assert size > 0, f"{about} has {size} bytes, but must have some"
    twice = [key for key, count in Counter(entry.id for entry in entries).items() if count > 1]
    assert not twice, f"{len(twice)} ids come more than once, such as {twice[0]!r}"
    first = source.account() if isinstance(source, KeepsAccount) else Account()
    assert isinstance(first, Account), f"account() gives {first!r}, but must give Account"
    remarks = first.remarks()
    again = {entry.id: entry for entry in source.entries()}
    changed = [entry.id for entry in entries if again.get(entry.id) != entry]
    assert not changed, f"listed again, its entries are others, such as that of {changed[0]!r}"
    assert len(again) == len(entries), f"listed again, it has {len(again)}, not {len(entries)}"
    if isinstance(source, KeepsAccount):
        same = source.account().remarks() == remarks
        assert same, "listed again, its account is another: does it count files twice?"
    return entries


def _check_reading(source: Source, sample: Sequence[Entry]) -> list[SourceImage]:
    places = [entry.place for entry in sample]
    images = list(source.read(places))
    assert len(images) == len(places), f"of {len(places)} places it reads {len(images)} images"
    whole = 0
    for entry, image in zip(sample, images, strict=True):
        _check_image(entry, image)
        try:
            stored_form(image, None)
        except DataError:
            continue  # corrupt images are left out, and named
        whole += 1
    assert whole, f"not one of {len(images)} images can be decoded"
    backwards = list(range(len(places)))[::-1]
    shuffled = random.Random(0).sample(backwards, len(backwards))
    turns = {"backwards": backwards, "shuffled": shuffled, "alone": backwards[:1]}
    for what, turn in turns.items():
        found = list(source.read([places[i] for i in turn]))
        assert len(found) == len(turn), f"read {what}, {len(turn)} places give {len(found)} images"
        for i, image in zip(turn, found, strict=True):
            assert _same(image, images[i]), (
                f"read {what}, the place {places[i]!r} gives another image: read() must give the "
                "images in the order of the places"
            )
    return images


def _check_image(entry: Entry, image: object) -> None:
    about = f"the image {entry.id!r}"
    if isinstance(image, np.ndarray):
        assert image.dtype == np.uint8, f"{about} is an array of {image.dtype}, but must be uint8"
        assert image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3), (
            f"{about} has the shape {image.shape}, but must have (H, W) or (H, W, 3)"
        )
    else:
        assert isinstance(image, bytes), (
            f"{about} is {type(image).__name__}, but must be bytes or an array"
        )


def _check_fingerprint(source: Source) -> str:
    found = source.fingerprint()
    assert isinstance(found, str), f"its fingerprint is {found!r}, but must be text"
    assert found, "its fingerprint is empty"
    assert not set(found) - set("0123456789abcdefABCDEF"), (
        f"its fingerprint is {found!r}, but must be hex digits"
    )
    assert source.fingerprint() == found, "asked twice, it has two fingerprints"
    return found


def _check_elsewhere(
    source: Source,
    entries: Sequence[Entry],
    sample: Sequence[Entry],
    images: Sequence[SourceImage],
    print_: str,
) -> None:
    """Check that another process reads the same, because many processes build shards."""
    places = [entry.place for entry in sample]
    try:
        sent = pickle.dumps((source, places))
    except Exception as error:
        raise AssertionError(
            f"it cannot be pickled, so no other process can read it: {error}"
        ) from error
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=sent,
        capture_output=True,
        env=environment,
        check=False,
    )
    said = done.stderr.decode(errors="replace").strip().split("\n")[-1]
    assert done.returncode == 0, f"another process cannot read it: {said}"
    ids, found, theirs = pickle.loads(done.stdout)  # safe: this suite's process wrote it
    assert ids == sorted(entry.id for entry in entries), "another process lists other ids"
    same = len(found) == len(images) and all(map(_same, found, images))
    assert same, "another process reads other images"
    assert theirs == print_, (
        f"in another process its fingerprint is {theirs!r} and not {print_!r}: is it made of "
        "hash(), which differs in each?"
    )


def _check_notices_in_a_copy(name: str, root: Path, options: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / root.name
        shutil.copytree(root, copy)
        files = [path for path in copy.rglob("*") if path.is_file()]
        source = _open(name, copy, options)
        before = source.fingerprint()
        largest = max(files, key=lambda path: path.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 0xFF
        largest.write_bytes(content + b"\0")
        _check_notices(source, name, copy, options, before, str(largest.relative_to(copy)))


def _check_notices(
    opened: Source,
    name: str | Source,
    root: str | os.PathLike[str] | None,
    options: Mapping[str, Any],
    before: str,
    changed: str,
) -> None:
    """Check that the fingerprint changes, or that the source is refused."""
    try:
        if opened.fingerprint() != before:
            return
        again = before if not isinstance(name, str) else _open(name, root, options).fingerprint()
    except InputError:
        return
    assert again != before, (
        f"{changed} was changed and the fingerprint is the same: shards of the old images would be "
        "used for the new ones"
    )


def _same(one: SourceImage, other: SourceImage) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)
