"""The page of MLflow's interface that a sweep is looked at on, as the interface stores it."""

from __future__ import annotations

from typing import Any

from raymoco.study.sweepfile import Sweep


def comparison_view(sweep: Sweep) -> dict[str, Any] | None:
    """Placeholder."""
    return None
