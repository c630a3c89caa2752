"""The work of each gang worker: run trials one after another until the broker closes the gang."""

from __future__ import annotations

import gc
import os
import socket
import traceback
import uuid
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError

from raymoco.config import RunConfig, ScaleConfig
from raymoco.engine.cluster import declared_cpus, threads_per_worker
from raymoco.engine.loop import run_loop
from raymoco.engine.process_state import ProcessState
from raymoco.engine.ray_train import worker_session
from raymoco.engine.session import ON_EVERY_RANK, Session, Stopped, reason_of
from raymoco.errors import DiskFullError, RaymocoError
from raymoco.metrics import Row
from raymoco.study.gangs.answers import GangOrder
from raymoco.study.gangs.trial_queue import Assignment
from raymoco.study.journal.events import TrialState
from raymoco.study.journal.folder import SweepFolder

POLL_S = 2.0


class BrokerLink:
    """A worker's connection to the broker. If the broker is dead, it answers "stop" and "close".

    Otherwise a gang would continue a training that nobody reads, or restart forever.
    """

    def __init__(self, broker: Any, gang: str, incarnation: str) -> None:
        self._broker, self._gang, self._incarnation = broker, gang, incarnation
        self.gone = False

    def hello(self, rank: int, workers: int, problem: str | None) -> Any:
        """Register this worker; return the reference to the images, in a list."""
        me = ray.get_runtime_context().current_actor
        place = f"process {os.getpid()} on {socket.gethostname()}"
        return self._ask(
            "hello", self._gang, self._incarnation, rank, workers, [me], place, problem, gone=None
        )

    def next_assignment(self) -> Assignment | GangOrder:
        """Return the next trial, or an order without one."""
        found: Assignment | GangOrder = self._ask(
            "next_assignment", self._gang, self._incarnation, POLL_S, gone=GangOrder.CLOSE
        )
        return found

    def report(self, work: Assignment, row: Row, checkpoint: str | None) -> bool:
        """Report an epoch's row; return whether to stop."""
        return bool(self._ask("report", work.trial_id, work.attempt, row, checkpoint, gone=True))

    def check(self, work: Assignment) -> bool:
        """Give a sign of life; return whether to stop."""
        return bool(self._ask("check", work.trial_id, work.attempt, gone=True))

    def text(self, work: Assignment, line: str) -> None:
        """Send a line for the trial's log."""
        self._ask("text", work.trial_id, line, gone=None)

    def finish(self, work: Assignment, state: TrialState, reason: str) -> None:
        """Report that the gang has finished the trial."""
        self._ask("finish", work.trial_id, work.attempt, state, reason, gone=None)

    def fail(self, work: Assignment, reason: str, lasting: bool) -> None:
        """Report that the attempt has failed; `lasting`: another one would fail the same way."""
        self._ask("fail", work.trial_id, work.attempt, reason, lasting, gone=None)

    def give_up(self, work: Assignment, reason: str) -> None:
        """Report that this gang cannot work here, and that the trial is not to blame."""
        self._ask("give_up", work.trial_id, work.attempt, reason, gone=None)

    def _ask(self, method: str, *arguments: Any, gone: Any) -> Any:
        if self.gone:
            return gone
        try:
            return ray.get(getattr(self._broker, method).remote(*arguments))
        except RayActorError:
            self.gone = True
            return gone


def run_gang(loop_config: dict[str, Any]) -> None:
    """Ask the broker for the next trial and run it, until it closes the gang."""
    # takes a second, which would otherwise be part of the first trial's time
    import torch._dynamo  # noqa: F401

    folder = Path(loop_config["folder"])
    # computed here, because the driver's machine may have a different number of cores
    threads = threads_per_worker(ScaleConfig(**loop_config["scale"]), declared_cpus())
    session = worker_session(folder, threads)
    session.check_every = loop_config["check_every"]
    incarnation = session.broadcast(uuid.uuid4().hex)
    link = BrokerLink(loop_config["broker"], loop_config["gang"], incarnation)
    problem = None
    if not SweepFolder(folder).marker.exists():
        problem = (
            f"{folder} is not visible on node {socket.gethostname()}: on several nodes "
            "`output` must be storage that all of them see"
        )
    else:
        os.chdir(folder)  # the process may have started in a job's temporary copy
    boxed = session.broadcast(link.hello(session.rank, session.workers, problem))
    if boxed is None:
        return
    handle = ray.get(boxed[0])
    before = ProcessState()
    while True:
        # the other ranks wait in the broadcast: an answer every POLL_S prevents a timeout
        work: Assignment | GangOrder = session.broadcast(
            link.next_assignment() if session.rank == 0 else None
        )
        if isinstance(work, Assignment):
            run_assignment(link, work, handle, session)
            for line in before.restore():
                link.text(work, line)
        elif work is GangOrder.CLOSE:
            return


def run_assignment(link: BrokerLink, work: Assignment, handle: Any, session: Session) -> None:
    """Run one attempt at a trial and report to the broker how it ended.

    An error after which the process still works ends only the attempt; any other error is raised
    and ends the gang's workers.
    """
    here = Session(
        folder=Path(work.folder),
        rank=session.rank,
        workers=session.workers,
        device=session.device,
        threads=session.threads,
        check_every=session.check_every,
        on_report=lambda row, checkpoint: link.report(work, row, checkpoint),
        on_check=lambda: link.check(work),
        on_text=lambda line: link.text(work, line),
        predictions=SweepFolder(session.folder).predictions_of(work.trial_id),
    )
    state = TrialState.COMPLETED
    resume_from = Path(work.resume_from) if work.resume_from else None
    try:
        run_loop(RunConfig.model_validate(work.config), handle, here, resume_from)
    except Stopped:
        state = TrialState.STOPPED  # the broker requested it, and knows the state
    except DiskFullError as error:  # of rank 0, which alone writes
        link.text(work, str(error))
        link.give_up(work, str(error))
        if session.workers > 1:
            raise  # the other ranks wait for this one
        return
    except (Exception, SystemExit) as error:
        alike = session.workers == 1 or isinstance(error, ON_EVERY_RANK)
        if session.rank == 0 or not alike:
            link.text(work, f"rank {session.rank}: {traceback.format_exc()}")
            # raymoco's own errors come from the config or the data, and would repeat
            link.fail(work, reason_of(error), lasting=isinstance(error, RaymocoError))
        if not alike or _spoils(error):
            # the other ranks are elsewhere in the loop, or the device's state is unknown: only
            # new processes are synchronized again
            raise
        return
    finally:
        # otherwise the tensors of a finished trial use memory during the next one
        gc.collect()
        if session.device.type == "cuda":
            torch.cuda.empty_cache()
    if session.rank == 0:
        link.finish(work, state, "")


def _spoils(error: BaseException) -> bool:
    """Whether the process is unusable: it is after CUDA errors other than out of memory."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)
