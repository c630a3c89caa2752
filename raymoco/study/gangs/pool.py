"""Warm gangs: TorchTrainers that stay up for a whole sweep and run one trial after another.

Ray documents a TorchTrainer inside every trial, which costs more than ten seconds per trial. A gang
starts once per sweep.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raymoco.engine.ray_train import FitThread, build_trainer, root_cause
from raymoco.errors import GangError
from raymoco.files import write_atomically
from raymoco.study.gangs.broker import Broker
from raymoco.study.gangs.train_fn import gang_loop
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.sweepfile.sections import GangConfig

BROKER_DIED = (
    "the broker, the actor between Tune and the gangs, has died. Everything reported so far is "
    "in the journal: go on with --resume."
)


def start_broker(slots: int, rules: GangConfig) -> Any:
    """Start the broker actor on the driver's node; it ends with the driver."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(Broker).options(
        num_cpus=0, max_concurrency=1000, scheduling_strategy=here, max_restarts=0
    )
    return actor.remote(slots, rules)


class Gangs:
    """The pool of gangs: starts them, restarts lost ones, and closes all.

    When a worker dies, Ray Train restarts its group within the same fit(). When fit() itself ends,
    the controller has died, and the pool restarts the gang.

    Args:
        broker: the broker's handle.
        folder: the sweep's folder, on storage that every node sees.
        rules: the workers of one gang and their resources.
        count: the number of gangs.
    """

    def __init__(self, broker: Any, folder: Path, rules: GangConfig, count: int) -> None:
        self._broker, self._folder, self._rules = broker, folder, rules
        write_atomically(SweepFolder(folder).marker, folder.name)
        self._threads = {f"gang-{number}": FitThread(lambda: None, "") for number in range(count)}
        self._fits = dict.fromkeys(self._threads, 0)
        self._over: set[str] = set()

    def start(self) -> None:
        """Start all gangs without waiting for them; they take about 20 s."""
        for name in self._threads:
            self._start(name)

    def check(self) -> None:
        """Restart lost gangs.

        Raises:
            GangError: no gang is left although there are trials, or the broker has died.
        """
        try:
            for name, thread in self._threads.items():
                if name not in self._over and not thread.is_alive():
                    error = root_cause(thread.error) if thread.error else None
                    if ray.get(self._broker.starts_again.remote(name, error)):
                        self._start(name)
                    else:
                        self._over.add(name)
            reason = None
            if len(self._over) == len(self._threads):
                reason = ray.get(self._broker.stranded.remote())
        except RayActorError:
            raise GangError(BROKER_DIED) from None
        if reason is not None:
            again = "" if "--resume" in reason else ". Go on with --resume."
            raise GangError(f"no gang is left: {reason}{again}")

    def check_broker(self) -> None:
        """Raise GangError if the broker has died."""
        try:
            ray.get(self._broker.stranded.remote())
        except RayActorError:
            raise GangError(BROKER_DIED) from None

    def close(self, timeout_s: float) -> None:
        """Close all gangs and wait for them; gangs that take longer end with the driver."""
        # gangs notice at their next call that the broker is dead
        with contextlib.suppress(RayActorError):
            ray.get(self._broker.close.remote())
        deadline = time.monotonic() + timeout_s
        for thread in self._threads.values():
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _start(self, name: str) -> None:
        self._fits[name] += 1
        fit = self._fits[name]
        trainer = build_trainer(
            gang_loop,
            {
                "broker": self._broker,
                "gang": name,
                "folder": str(self._folder),
                "scale": self._rules.scale.model_dump(),
                "check_every": self._rules.check_every,
            },
            self._rules.scale,
            # a new name each time: otherwise Ray Train would load the state of the previous trainer
            name=name if fit == 1 else f"{name}.{fit}",
            folder=self._folder,
            max_failures=-1,  # the broker counts failures per trial
        )
        self._threads[name] = FitThread(trainer.fit, name=name)
        self._threads[name].start()
