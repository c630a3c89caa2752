"""MLflow: what it is told, where, and by whom. Only `tracking.store` imports it.

One writer per sweep, in the driver. The journal is written first and holds everything; the mirror
reads it and delivers: in batches, in the background, twice without harm.
"""

from raymoco.tracking.changes import PARENT, RUNNING, Change, Point, Story, points_of
from raymoco.tracking.mirror import Mirror, Outcome, missing_lines
from raymoco.tracking.places import (
    NOWHERE,
    Backlog,
    Place,
    count_backlog,
    load_delivered,
    place_of,
    tracking_uri,
)

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
    "Story",
    "count_backlog",
    "load_delivered",
    "missing_lines",
    "place_of",
    "points_of",
    "tracking_uri",
]
