"""Where a store is, and how much of a journal it has."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raymoco.errors import InputError
from raymoco.event_log import JOURNAL, EventKinds, read_on
from raymoco.files import write_atomically
from raymoco.registry import IMPORT_PATH

NOWHERE = "none"
EXPERIMENT = "raymoco"
ADDRESS = "?"  # what follows it in a URI is for somebody else's store alone to understand
READ_LINES = 10_000


def tracking_uri(uri: str | None, output: Path) -> str:
    """The given URI, or the sqlite store at its absolute path in the output folder.

    Somebody else's store is `package.module:Name`, or `package.module:Name?ADDRESS`; it is not
    looked at here.

    Raises:
        InputError: a scheme that raymoco does not write to.
    """
    if uri is None:
        return f"sqlite:///{output.absolute() / 'mlflow.db'}"
    if tracker_path(uri):
        return uri
    if uri != NOWHERE and not uri.startswith(("sqlite:///", "http://", "https://", "databricks")):
        raise InputError(
            f"tracking.uri is '{uri}', but must be sqlite:///PATH, http(s)://HOST:PORT, "
            f"{NOWHERE}, or somebody's package.module:Name."
        )
    return uri


def tracker_path(uri: str) -> str:
    """The import path in the URI of somebody else's store; "" for MLflow's and for nowhere."""
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
        """What keeps the store, for messages."""
        return tracker_path(self.uri) or "MLflow"

    @property
    def label(self) -> str:
        """What keeps the store, and where, for messages."""
        return self.uri if tracker_path(self.uri) else f"MLflow at {self.uri}"

    @property
    def address(self) -> str:
        """What follows the name of somebody else's store in its URI, behind a `?`."""
        return self.uri.partition(ADDRESS)[2]

    @property
    def journal(self) -> Path:
        """What is delivered."""
        return self.folder / JOURNAL

    @property
    def artifacts(self) -> Path:
        """Where a sqlite store keeps artifacts; a server decides for itself."""
        return self.folder.parent / "mlartifacts"

    def file(self, ending: str) -> Path:
        """A hidden file beside the journal that belongs to this store."""
        name = hashlib.sha256(f"{self.uri} {self.experiment}".encode()).hexdigest()[:8]
        return self.folder / f".mlflow-{name}.{ending}"


def place_of(folder: Path, uri: str | None, experiment: str | None) -> Place:
    """The place that a config's `tracking` block means for a folder in its output folder."""
    return Place(folder, tracking_uri(uri, folder.parent), experiment or EXPERIMENT)


@dataclass
class Delivered:
    """How far a store has got: `offset` bytes of the journal; `error` while it does not answer."""

    uri: str
    experiment: str
    offset: int = 0
    error: str = ""

    def save(self, place: Place) -> None:
        """Write it down, whole at any moment."""
        write_atomically(place.file("json"), json.dumps(asdict(self)) + "\n")


def load_delivered(place: Place) -> Delivered:
    """What has been delivered to a place so far."""
    file = place.file("json")
    if not file.exists():
        return Delivered(place.uri, place.experiment)
    return Delivered(**json.loads(file.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Backlog:
    """What a store has not got yet."""

    events: int
    points: int


def count_backlog(place: Place, kinds: EventKinds[Any]) -> Backlog:
    """Count what stands in the journal behind what has been delivered.

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
