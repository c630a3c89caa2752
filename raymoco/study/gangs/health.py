"""Detects worker processes that have died and gangs that have become silent.

Ray Train detects a dead worker when it polls, and a hang after ten minutes, and reports neither to
raymoco.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from raymoco.study.gangs.gang_state import Gang

PING_S = 0.5
GRACE_S = 2.0  # a worker's death may be detected so long after its peers have failed because of it

Lose = Callable[[str, str, str], Awaitable[None]]


class HealthMonitor:
    """Pings every worker; ends gangs that have become silent.

    Args:
        lose: called with a gang's name, the incarnation that is gone, and the reason.
        silent: returns the gangs that were silent for too long, each with a reason.
    """

    def __init__(self, lose: Lose, silent: Callable[[], list[tuple[Gang, str]]]) -> None:
        self._lose, self._silent = lose, silent
        self._tasks: set[asyncio.Task[None]] = set()
        self._deaths: dict[tuple[str, str], str] = {}  # by gang and incarnation

    def follow(self, gang: Gang, rank: int, handle: Any, place: str) -> None:
        """Ping a worker from now on."""
        if not self._tasks:
            self._start(self._listen())
        self._start(self._ping(gang.name, gang.incarnation, rank, handle, place))

    async def dead(self, gang: Gang) -> str | None:
        """Say which worker of a gang has died; None if none has after `GRACE_S`."""
        key = (gang.name, gang.incarnation)
        for _ in range(int(GRACE_S / 0.1)):
            if key in self._deaths:
                return self._deaths[key]
            await asyncio.sleep(0.1)
        return None

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the event loop keeps no strong reference
        task.add_done_callback(self._tasks.discard)

    async def _ping(self, gang: str, incarnation: str, rank: int, handle: Any, place: str) -> None:
        while True:
            try:
                await handle.__ray_ready__.remote()
            except ActorUnavailableError:
                pass  # a short network failure
            except RayActorError as error:
                reason = f"the worker process of rank {rank} died ({place})"
                if "ray.kill" in str(error):
                    # Ray Train kills the other workers of a group when one has died; the failed
                    # ping of that one may not have arrived yet
                    await asyncio.sleep(GRACE_S / 2)
                    reason = "Ray Train ended its workers"
                self._deaths.setdefault((gang, incarnation), reason)
                await self._lose(gang, incarnation, self._deaths[gang, incarnation])
                return
            await asyncio.sleep(PING_S)

    async def _listen(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            for gang, reason in self._silent():
                handles = list(gang.handles.values())
                await self._lose(gang.name, gang.incarnation, reason)
                for handle in handles:
                    # a hanging process reacts to nothing but a kill; Ray Train then restarts the
                    # group
                    ray.kill(handle)
