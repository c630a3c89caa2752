"""Delivery of a journal to MLflow or another store. Only `tracking.store` imports MLflow.

One writer per sweep, in the driver. The journal is written first and holds everything; the mirror
reads it and delivers: in batches, in the background, twice without harm.
"""

from raymoco.tracking.changes import PARENT, RUNNING, Change, Point, Translator, points_of
from raymoco.tracking.mirror import Mirror, Outcome, missing_lines
from raymoco.tracking.open import check_tracking, saved_section, saved_tracking, settle_tracking
from raymoco.tracking.places import (
    NOWHERE,
    Backlog,
    Place,
    count_backlog,
    load_delivered,
    place_of,
    tracker_path,
    tracking_uri,
)
from raymoco.tracking.protocol import RefusedError, TrackingStore

__all__ = [
    "NOWHERE",
    "PARENT",
    "RUNNING",
    "Backlog",
    "Change",
    "Mirror",
    "Outcome",
    "Place",
    "Point",
    "RefusedError",
    "TrackingStore",
    "Translator",
    "check_tracking",
    "count_backlog",
    "load_delivered",
    "missing_lines",
    "place_of",
    "points_of",
    "saved_section",
    "saved_tracking",
    "settle_tracking",
    "tracker_path",
    "tracking_uri",
]
