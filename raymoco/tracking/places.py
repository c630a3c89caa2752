"""The place of a store, and how much of a journal it has received."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raymoco.errors import DataError, InputError
from raymoco.event_log import JOURNAL, EventKinds, read_on
from raymoco.files import absolute, write_atomically
from raymoco.passwords import mask
from raymoco.reading import read_text, shown
from raymoco.registry import IMPORT_PATH

NOWHERE = "none"
EXPERIMENT = "raymoco"
SQLITE = "sqlite:///"
SERVERS = ("http://", "https://", "databricks")
ADDRESS = "?"  # separates the import path of a third-party store from its address
READ_LINES = 10_000


def tracking_uri(uri: str | None, output: Path) -> str:
    """Return the given URI, or that of the sqlite store in the output folder.

    A third-party store is `package.module:Name`, or `package.module:Name?ADDRESS`; it is not
    looked at here.

    Raises:
        InputError: a scheme that raymoco does not write to.
    """
    if uri is None:
        return f"sqlite:///{output.absolute() / 'mlflow.db'}"
    uri = mask(uri)
    if tracker_path(uri) or uri == NOWHERE:
        return uri
    if uri.startswith(SQLITE):
        path, options = sqlite_file(uri)
        return f"{SQLITE}{path}{options}"
    if not uri.startswith(SERVERS):
        raise InputError(
            f"tracking.uri is '{uri}', but must be sqlite:///PATH, http(s)://HOST:PORT, "
            f"{NOWHERE}, or your own package.module:Name."
        )
    return uri


def sqlite_file(uri: str) -> tuple[Path, str]:
    """Return the absolute path in a sqlite URI, and its options with the `?`: `?timeout=60`."""
    path, mark, options = uri.removeprefix(SQLITE).partition("?")
    return absolute(path), mark + options


def tracker_path(uri: str) -> str:
    """Return the import path in a third-party store's URI; "" for MLflow and for nowhere."""
    path = uri.partition(ADDRESS)[0]
    return path if IMPORT_PATH.fullmatch(path) else ""


@dataclass(frozen=True)
class Place:
    """A store and an experiment in it, and the folder whose journal is delivered there.

    Args:
        folder: a sweep's or a run's.
        uri: tracking URI as `tracking_uri` returns it.
        experiment: name; made if it is not there.
    """

    folder: Path
    uri: str
    experiment: str

    @property
    def tracker(self) -> str:
        """The name of the store, for messages."""
        return tracker_path(self.uri) or "MLflow"

    @property
    def label(self) -> str:
        """The name and the address of the store, for messages."""
        return self.uri if tracker_path(self.uri) else f"MLflow at {self.uri}"

    @property
    def address(self) -> str:
        """The part of a third-party store's URI after the `?`."""
        return self.uri.partition(ADDRESS)[2]

    @property
    def journal(self) -> Path:
        """The journal to deliver."""
        return self.folder / JOURNAL

    @property
    def artifacts(self) -> Path:
        """The artifact folder of a sqlite store; a server has its own."""
        return self.folder.parent / "mlartifacts"

    def file(self, ending: str) -> Path:
        """A hidden file beside the journal that belongs to this store."""
        name = hashlib.sha256(f"{self.uri} {self.experiment}".encode()).hexdigest()[:8]
        return self.folder / f".mlflow-{name}.{ending}"


def place_of(folder: Path, uri: str | None, experiment: str | None) -> Place:
    """Return the place that a config's `tracking` section means for a folder."""
    return Place(folder, tracking_uri(uri, folder.parent), experiment or EXPERIMENT)


@dataclass
class Delivered:
    """How far a store has received the journal: `offset` in bytes; `error` while it fails."""

    uri: str
    experiment: str
    offset: int = 0
    error: str = ""

    def save(self, place: Place) -> None:
        """Save it atomically."""
        write_atomically(place.file("json"), json.dumps(asdict(self)) + "\n")


def load_delivered(place: Place) -> Delivered:
    """Load how much has been delivered to a place."""
    file = place.file("json")
    if not file.exists():
        return Delivered(place.uri, place.experiment)
    try:
        found = json.loads(read_text(file, DataError))
        delivered = Delivered(**found)
        if type(delivered.offset) is not int or delivered.offset < 0:
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise DataError(
            f"{shown(file)} is damaged: delete it, and everything is sent again, nothing twice."
        ) from None
    return delivered


@dataclass(frozen=True)
class Backlog:
    """The number of events and points that a store has not received yet."""

    events: int
    points: int


def count_backlog(place: Place, kinds: EventKinds[Any]) -> Backlog:
    """Count what has not been delivered of a journal.

    Args:
        kinds: the events of such a journal.
    """
    offset = load_delivered(place).offset
    events = points = 0
    while True:
        found, offset = read_on(place.journal, kinds, offset, READ_LINES)
        if not found:
            return Backlog(events, points)
        events += sum(event.delivered for event in found)
        points += sum(event.points for event in found)
