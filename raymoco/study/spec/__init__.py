"""The sweep file: what to run, what varies, and when to stop. Its sections, and the whole."""

from raymoco.study.spec.parts import (
    METRICS,
    TEST_METRICS,
    Budget,
    Confirm,
    GangConfig,
    LevelName,
    Objective,
    Pace,
    Scheduler,
    Tune,
)
from raymoco.study.spec.sweep import AblationSpec, SearchSpec, SweepSpec, sweep_schema

__all__ = [
    "METRICS",
    "TEST_METRICS",
    "AblationSpec",
    "Budget",
    "Confirm",
    "GangConfig",
    "LevelName",
    "Objective",
    "Pace",
    "Scheduler",
    "SearchSpec",
    "SweepSpec",
    "Tune",
    "sweep_schema",
]
