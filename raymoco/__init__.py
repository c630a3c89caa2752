"""raymoco: momentum contrast on partly labeled images, at scale and with statistics.

Each public name is imported when it is first used, so that `raymoco --help` does not wait for Ray
and torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raymoco.config import RunConfig
    from raymoco.engine.train import train
    from raymoco.study.launch import sweep
    from raymoco.study.report import report
    from raymoco.study.sweepfile.sweep import SweepSpec
    from raymoco.using.judging import evaluate
    from raymoco.using.trained_encoder import load_encoder

__version__ = "0.1.0"
__all__ = ["RunConfig", "SweepSpec", "evaluate", "load_encoder", "report", "sweep", "train"]

_HOMES = {
    "RunConfig": "raymoco.config",
    "SweepSpec": "raymoco.study.sweepfile.sweep",
    "evaluate": "raymoco.using.judging",
    "load_encoder": "raymoco.using.trained_encoder",
    "report": "raymoco.study.report",
    "sweep": "raymoco.study.launch",
    "train": "raymoco.engine.train",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'raymoco' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
