"""Notices when a worker process has died, and when a gang gives no sign of life any more.

Ray Train notices a dead worker when it polls, and a hang after ten minutes, and tells raymoco of
neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from raymoco.study.gangs.gang_state import Gang

PING_S = 0.5
GRACE_S = 2.0  # a worker's death may become known so long after its peers fail over it

Lose = Callable[[str, str, str], Awaitable[None]]


class HealthMonitor:
    """Pings the handle of every worker; ends gangs that have gone silent.

    Args:
        lose: called with a gang's name, the incarnation that is gone, and the reason.
        silent: the gangs without a sign of life for too long, each with a reason in words.
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
        """Which worker of a gang has died, in words; waits `GRACE_S` for the news, then None."""
        key = (gang.name, gang.incarnation)
        for _ in range(int(GRACE_S / 0.1)):
            if key in self._deaths:
                return self._deaths[key]
            await asyncio.sleep(0.1)
        return None

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the event loop keeps no reference of its own
        task.add_done_callback(self._tasks.discard)

    async def _ping(self, gang: str, incarnation: str, rank: int, handle: Any, place: str) -> None:
        while True:
            try:
                await handle.__ray_ready__.remote()
            except ActorUnavailableError:
                pass  # a short failure of the network
            except RayActorError as error:
                reason = f"the worker process of rank {rank} died ({place})"
                if "ray.kill" in str(error):
                    # Ray Train kills the other workers of a group when one has died; the ping of
                    # the one that died may still be on its way
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
                    # a hanging process does not react to anything else; Ray Train then starts the
                    # group again
                    ray.kill(handle)
