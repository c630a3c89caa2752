"""Folders and files that are never data: of systems, of programs, and raymoco's own output."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import chain, islice

SYSTEMS = "folders of a system or a program"
OWN = "folders of raymoco's own output"
OTHERS = "folders of another program's output"
HIDDEN = "hidden files and folders"
APPLE_DOUBLE = "files ._NAME in which macOS keeps what other disks cannot"
THUMBNAILS = "folders of thumbnails, beside the images that they show"

_SYSTEMS = (
    # NAS: Synology, QNAP, Asustor
    "@eadir @tmp @__thumb @recycle @recently-snapshot @sharebin @sharesnap #recycle #snapshot "
    "@appstore @docker .@__thumb .@upload_cache "
    # macOS, Windows, Linux
    "__macosx .appledouble network_trash_folder temporary_items $recycle.bin "
    "$windows.~bt found.000 found.001 lost+found "
    # programs
    "__pycache__ node_modules site-packages mlruns mlartifacts"
)
_SYSTEMS_WITH_SPACES = ("system volume information", "network trash folder", "temporary items")
_NEVER = frozenset([*_SYSTEMS.split(), *_SYSTEMS_WITH_SPACES])
_THUMBS = frozenset(("thumb", "thumbs", "thumbnail", "thumbnails", "_thumbs", "_thumbnails"))
_OLD_WINDOWS = ("RECYCLER", "RECYCLED")  # in small letters it may be a class of waste
_FIRST = 1000  # items of a folder that are held in memory at a time


class Listing:
    """The items of a folder, and whether a name is among them, in bounded memory."""

    def __init__(self, folder: str, items: Iterator[os.DirEntry[str]]) -> None:
        self.folder = folder
        self._first = list(islice(items, _FIRST))
        self._rest = items
        self.names = {item.name for item in self._first}
        self._whole = len(self._first) < _FIRST

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return chain(self._first, self._rest)

    def has(self, name: str) -> bool:
        """Whether the folder has an item of that name."""
        if name in self.names:
            return True
        return not self._whole and os.path.lexists(os.path.join(self.folder, name))


def why_by_name(folder: str) -> str | None:
    """Why a folder of that name is never data; None: its name does not say so."""
    if folder.lower() in _NEVER or folder in _OLD_WINDOWS:
        return SYSTEMS
    return HIDDEN if folder.startswith(".") else None


def may_be_thumbnails(folder: str) -> bool:
    """Whether a folder has thumbnails if there are images beside it; `thumbs` may be a class."""
    return folder.lower() in _THUMBS


def why_by_content(listing: Listing) -> str | None:
    """Why a folder with these items is never data; None: they do not say so.

    Names of our own folders are free, so their content decides.
    """
    if _is_own(listing):
        return OWN
    has = listing.has
    if has("pyvenv.cfg") or has("conda-meta") or has("CACHEDIR.TAG") or has(".hydra"):
        return OTHERS
    if has("args.yaml") and (has("results.csv") or has("weights")):  # a run of Ultralytics
        return OTHERS
    name = os.path.basename(listing.folder)
    begins = {
        "wandb": ("run-", "offline-run-", "latest-run", "debug"),
        "lightning_logs": ("version_",),
    }.get(name, ("events.out.tfevents.",))  # TensorBoard's folders have any name
    return OTHERS if any(item.startswith(begins) for item in listing.names) else None


def _is_own(listing: Listing) -> bool:
    has, folder = listing.has, listing.folder
    if has("sweep.yaml") and (has("journal.jsonl") or has(".raymoco-sweep")):
        return True
    if has("config.yaml") and (has("journal.jsonl") or has("metrics.csv")):
        return True
    if has("manifest.json") and _is_manifest(os.path.join(folder, "manifest.json")):
        return True
    if has("mlflow.db"):
        return True
    return has("shards") and _holds_shards(os.path.join(folder, "shards"))


def _holds_shards(folder: str) -> bool:
    try:
        with os.scandir(folder) as items:
            return any(
                _is_manifest(os.path.join(item.path, "manifest.json"))
                for item in islice(items, _FIRST)
                if item.is_dir(follow_symlinks=False)
            )
    except OSError:
        return False


def _is_manifest(path: str) -> bool:
    """Whether a file is the manifest of a folder of shards, by its first keys."""
    try:
        with open(path, encoding="utf-8") as file:
            head = file.read(4096)
    except (OSError, UnicodeDecodeError):
        return False
    keys = (json.dumps(key) for key in ("schema_version", "source", "fingerprint"))
    return all(key in head for key in keys)
