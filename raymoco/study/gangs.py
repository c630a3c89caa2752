"""Warm gangs: TorchTrainers that stay up for a whole sweep and run one trial after another.

The documented way starts a TorchTrainer inside every trial and pays more than ten seconds for it
each time. A gang pays once.
"""

from __future__ import annotations

import gc
import socket
import time
import traceback
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raymoco.config import RunConfig, ScaleConfig
from raymoco.engine.cluster import threads_per_worker
from raymoco.engine.loop import run_loop
from raymoco.engine.metrics_file import Row
from raymoco.engine.session import ON_EVERY_RANK, Session, Stopped, reason_of
from raymoco.engine.trainer import FitThread, build_trainer, root_cause, worker_session
from raymoco.errors import GangError
from raymoco.study.broker import CLOSE, Assignment, Broker
from raymoco.yamlfile import write_atomically

POLL_S = 2.0
MARKER = ".raymoco-sweep"


def start_broker(slots: int) -> Any:
    """The broker actor, on the driver's own node and ending with it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(Broker).options(
        num_cpus=0, max_concurrency=1000, scheduling_strategy=here, max_restarts=0
    )
    return actor.remote(slots)


class Gangs:
    """The pool: starts the gangs, notices when one is lost, sends all home.

    Args:
        broker: the broker's handle.
        folder: the sweep's folder; must be storage that every node sees.
        scale: workers of one gang and what each holds.
        count: how many gangs.
    """

    def __init__(self, broker: Any, folder: Path, scale: ScaleConfig, count: int) -> None:
        self._broker = broker
        write_atomically(folder / MARKER, folder.name)
        self._threads = [
            FitThread(
                build_trainer(
                    gang_loop,
                    {
                        "broker": broker,
                        "gang": f"gang-{number}",
                        "folder": str(folder),
                        "scale": scale.model_dump(),
                    },
                    scale,
                    name=f"gang-{number}",
                    folder=folder,
                ).fit,
                name=f"gang-{number}",
            )
            for number in range(count)
        ]

    def start(self) -> None:
        """Start all gangs; they come up by themselves within some 20 s."""
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Raise GangError if a gang has ended although nobody sent it home."""
        for thread in self._threads:
            if not thread.is_alive():
                reason = root_cause(thread.error) if thread.error else "it ended by itself"
                raise GangError(f"{thread.name} was lost: {reason}")

    def close(self, timeout_s: float) -> None:
        """Send all gangs home and wait for them; those that linger end with the driver."""
        ray.get(self._broker.close.remote())
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))


def gang_loop(loop_config: dict[str, Any]) -> None:
    """What each worker of a gang runs: trials, one after another, until the broker says close."""
    broker, gang = loop_config["broker"], loop_config["gang"]
    folder = Path(loop_config["folder"])
    if not (folder / MARKER).exists():
        raise GangError(
            f"{folder} is not visible on node {socket.gethostname()}: on several nodes "
            "`output` must be storage that all of them see."
        )
    # computed here: the driver's machine may have other cores than this one
    threads = threads_per_worker(ScaleConfig(**loop_config["scale"]))
    session = worker_session(folder, threads)
    boxed = ray.get(broker.hello.remote(gang, session.workers)) if session.rank == 0 else None
    handle = ray.get(session.broadcast(boxed)[0])
    while True:
        work: Assignment | str | None = None
        if session.rank == 0:
            # other ranks wait in the broadcast meanwhile: an idle word every POLL_S keeps it alive
            work = ray.get(broker.next_assignment.remote(gang, POLL_S))
        work = session.broadcast(work)
        if isinstance(work, Assignment):
            run_assignment(broker, work, handle, session)
        elif work == CLOSE:
            return


def run_assignment(broker: Any, work: Assignment, handle: Any, session: Session) -> None:
    """Run one trial and tell the broker how it ended.

    An error that leaves the process sound ends the trial and not the gang.
    """
    here = Session(
        folder=Path(work.folder),
        rank=session.rank,
        workers=session.workers,
        device=session.device,
        threads=session.threads,
        on_report=lambda row, checkpoint: _report(broker, work, row, checkpoint),
        on_text=lambda line: ray.get(broker.text.remote(work.trial_id, line)),
    )
    state, reason = "completed", ""
    resume_from = Path(work.resume_from) if work.resume_from else None
    try:
        run_loop(RunConfig.model_validate(work.config), handle, here, resume_from)
    except Stopped:
        state = "stopped"  # whoever asked for it has written down the true state
    except Exception as error:
        here.text(traceback.format_exc())
        state, reason = "failed", reason_of(error)
        if session.workers > 1 and not isinstance(error, ON_EVERY_RANK):
            # the other ranks are somewhere else in the loop: only a new gang brings them together
            ray.get(broker.finish.remote(work.trial_id, work.attempt, state, reason))
            raise
    finally:
        # a finished trial's tensors must not stand beside the next one's
        gc.collect()
        if session.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()
    if session.rank == 0:
        ray.get(broker.finish.remote(work.trial_id, work.attempt, state, reason))


def _report(broker: Any, work: Assignment, row: Row, checkpoint: str | None) -> bool:
    return bool(ray.get(broker.report.remote(work.trial_id, work.attempt, row, checkpoint)))
