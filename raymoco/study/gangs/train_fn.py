"""What Ray Train starts in each worker of a gang.

A file of its own, and nothing at its top: the controller imports it too, only to hand it on.
"""

from __future__ import annotations

from typing import Any


def gang_loop(loop_config: dict[str, Any]) -> None:
    """Run the trials that the broker hands out."""
    from raymoco.study.gangs.worker import run_gang

    run_gang(loop_config)
