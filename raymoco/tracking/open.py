"""Open the store that a tracking URI means: MLflow's, or a third-party one by import path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raymoco.choices import TRACKERS
from raymoco.tracking.places import NOWHERE, Place, tracker_path, tracking_uri
from raymoco.tracking.protocol import TrackingStore


def store_class(uri: str) -> Any:
    """Import the class of the store, which keeps the Protocol `TrackingStore`; None for nowhere.

    Raises:
        ConfigError: a third-party store is missing or does not keep the Protocol.
    """
    if uri == NOWHERE:
        return None
    return TRACKERS.load(tracker_path(uri) or "mlflow")


def open_tracking_store(place: Place, owner: str) -> TrackingStore:
    """Connect to the store of a place, for one sweep or one run."""
    store: TrackingStore = store_class(place.uri)(place, owner)
    return store


def check_tracking(uri: str | None, output: Path) -> None:
    """Refuse a tracking URI that means no store, before anything is written.

    Raises:
        InputError: a scheme that raymoco does not write to, or a third-party store is missing.
    """
    uri = tracking_uri(uri, output)
    if tracker_path(uri):
        store_class(uri)
