"""The training function that Ray Train runs in each worker of a gang.

It is a separate module that imports nothing at its top, because the controller imports it too, only
to pass the function on to the workers.
"""

from __future__ import annotations

from typing import Any


def gang_loop(loop_config: dict[str, Any]) -> None:
    """Run trials until the broker closes the gang."""
    from raymoco.study.gangs.worker import run_gang

    run_gang(loop_config)
