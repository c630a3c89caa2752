"""Everything that a config may name, and where its code is: the one place to add a choice to.

An entry is a name, the path of its code, and a line for people. The config's checks, its JSON
Schema and the docs follow. Nothing is imported here: see raymoco/registry.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raymoco.registry import Choice, Registry

# ------------------------------------------------------------- eval.protocols


@dataclass(frozen=True)
class ProtocolChoice(Choice):
    """An evaluation protocol that raymoco ships.

    Attributes:
        section: its options stand at `eval.SECTION`, as in version 0.1; "": it has none.
        left_out: an option and the value that leaves the protocol out; None: it has no such option.
        always: every run is judged by it, listed or not.
    """

    section: str = ""
    left_out: tuple[str, Any] | None = None
    always: bool = False


_PROTOCOLS = "raymoco.engine.protocols"

PROTOCOLS: Registry[ProtocolChoice] = Registry(
    "eval.protocols",
    "evaluation protocol",
    f"{_PROTOCOLS}.protocol:EvaluationProtocol",
    {
        "knn": ProtocolChoice(
            f"{_PROTOCOLS}.knn:Knn", "the weighted vote of the nearest neighbors", section="knn"
        ),
        "linear": ProtocolChoice(
            f"{_PROTOCOLS}.linear:Linear",
            "a linear classifier on frozen features, at the end",
            section="linear",
            left_out=("epochs", 0),
        ),
        "collapse": ProtocolChoice(
            f"{_PROTOCOLS}.collapse:Collapse",
            "alignment, uniformity, effective rank: no label is needed",
            always=True,
        ),
    },
)
DEFAULT_PROTOCOLS = ("knn", "linear")  # beside those of every run

# --------------------------------------------------------------- tracking.uri

# `mlflow` is not written: it is what every URI of MLflow means
TRACKERS: Registry[Choice] = Registry(
    "tracking.uri",
    "tracker",
    "raymoco.tracking.protocol:TrackingStore",
    {"mlflow": Choice("raymoco.tracking.store:Store", "a sqlite file, or a server")},
)
