"""Open the store that a tracking URI means: MLflow's, or a third-party one by import path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raymoco.choices import TRACKERS
from raymoco.config import TrackingConfig
from raymoco.passwords import hide, reveal
from raymoco.tracking.places import NOWHERE, SERVERS, SQLITE, Place, tracker_path, tracking_uri
from raymoco.tracking.protocol import TrackingStore
from raymoco.yamlfile import read_yaml, validate


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


def saved_section(file: Path) -> dict[str, Any] | None:
    """Return the `tracking` section of a folder's config.yaml or sweep.yaml; None if it is new."""
    return saved_tracking(file).model_dump(exclude_unset=True) if file.exists() else None


def saved_tracking(file: Path) -> TrackingConfig:
    """The `tracking` section of a folder's config.yaml or sweep.yaml.

    Raises:
        ConfigError: the file is damaged.
    """
    return validate(TrackingConfig, read_yaml(file).part("tracking"), "tracking.")


def settle_tracking(
    given: TrackingConfig, output: Path, saved: Mapping[str, Any] | None = None
) -> tuple[TrackingConfig, str]:
    """Fill in what a config leaves open: as the folder was begun, or MLflow's own variables.

    Args:
        given: the config's section.
        output: the absolute output folder.
        saved: the section in the file of the folder that is resumed.
    Returns:
        The section to save, with an absolute address; and a sentence if the environment decided
        something or was ignored.
    """
    uri, experiment, note = given.uri, given.experiment, ""
    before = saved or {}
    if uri is None or _same_place(uri, before.get("uri"), output):
        uri = before.get("uri", uri)
    elif uri.startswith(SQLITE):
        uri = tracking_uri(uri, output)
    experiment = experiment or before.get("experiment")
    if saved is None:
        named = os.environ.get("MLFLOW_EXPERIMENT_NAME")
        address = os.environ.get("MLFLOW_TRACKING_URI")
        used = []
        if uri is None and address:
            if address.startswith((SQLITE, *SERVERS)):
                uri = tracking_uri(address, output)
                used.append(f"MLFLOW_TRACKING_URI={uri}")
            else:
                note = (
                    f"MLFLOW_TRACKING_URI={hide(address)} is ignored: raymoco logs to sqlite files "
                    f"and servers, here to {tracking_uri(None, output)}"
                )
        if experiment is None and named:
            experiment = named
            used.append(f"MLFLOW_EXPERIMENT_NAME={named}")
        if used:
            note = f"tracking: {' and '.join(used)} from the environment"
    return TrackingConfig(uri=uri, experiment=experiment), note


def _same_place(uri: str, other: str | None, output: Path) -> bool:
    return other is not None and tracking_uri(uri, output) == tracking_uri(other, output)


def check_tracking(uri: str | None, output: Path) -> None:
    """Refuse a tracking URI that means no store, before anything is written.

    Raises:
        InputError: a scheme that raymoco does not write to, a third-party store is missing, or a
            password that this process was not given.
    """
    uri = tracking_uri(uri, output)
    reveal(uri)
    if tracker_path(uri):
        store_class(uri)
