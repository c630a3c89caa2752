"""What each worker of a gang runs: trials, one after another, until the broker says close."""

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
from raymoco.errors import RaymocoError
from raymoco.metrics import Row
from raymoco.study.gangs.broker import CLOSE
from raymoco.study.gangs.trial_queue import Assignment
from raymoco.study.journal.folder import MARKER

POLL_S = 2.0


class BrokerLink:
    """A worker's way to the broker. Once the broker is dead, its answers are stop and close.

    Without them a gang would train on for nobody, or start again for ever.
    """

    def __init__(self, broker: Any, gang: str, incarnation: str) -> None:
        self._broker, self._gang, self._incarnation = broker, gang, incarnation
        self.gone = False

    def hello(self, rank: int, workers: int, problem: str | None) -> Any:
        """This worker is up; the reference to the image handle, in a list."""
        me = ray.get_runtime_context().current_actor
        place = f"process {os.getpid()} on {socket.gethostname()}"
        return self._ask(
            "hello", self._gang, self._incarnation, rank, workers, [me], place, problem, gone=None
        )

    def next_assignment(self) -> Assignment | str | None:
        """The next trial, CLOSE, or None after a while."""
        found: Assignment | str | None = self._ask(
            "next_assignment", self._gang, self._incarnation, POLL_S, gone=CLOSE
        )
        return found

    def report(self, work: Assignment, row: Row, checkpoint: str | None) -> bool:
        """An epoch's row; whether to stop."""
        return bool(self._ask("report", work.trial_id, work.attempt, row, checkpoint, gone=True))

    def check(self, work: Assignment) -> bool:
        """A sign of life; whether to stop."""
        return bool(self._ask("check", work.trial_id, work.attempt, gone=True))

    def text(self, work: Assignment, line: str) -> None:
        """A line for the trial's log."""
        self._ask("text", work.trial_id, line, gone=None)

    def finish(self, work: Assignment, state: str, reason: str) -> None:
        """The trial is over here."""
        self._ask("finish", work.trial_id, work.attempt, state, reason, gone=None)

    def fail(self, work: Assignment, reason: str, lasting: bool) -> None:
        """This attempt has failed; `lasting`: another one would fail alike."""
        self._ask("fail", work.trial_id, work.attempt, reason, lasting, gone=None)

    def _ask(self, method: str, *arguments: Any, gone: Any) -> Any:
        if self.gone:
            return gone
        try:
            return ray.get(getattr(self._broker, method).remote(*arguments))
        except RayActorError:
            self.gone = True
            return gone


def run_gang(loop_config: dict[str, Any]) -> None:
    """Ask the broker for the next trial and run it, until it says close."""
    # it takes a second: otherwise the first optimizer does it, in a trial's time
    import torch._dynamo  # noqa: F401

    folder = Path(loop_config["folder"])
    # computed here: the driver's machine may have other cores than this one
    threads = threads_per_worker(ScaleConfig(**loop_config["scale"]), declared_cpus())
    session = worker_session(folder, threads)
    session.check_every = loop_config["check_every"]
    incarnation = session.broadcast(uuid.uuid4().hex)
    link = BrokerLink(loop_config["broker"], loop_config["gang"], incarnation)
    problem = None
    if not (folder / MARKER).exists():
        problem = (
            f"{folder} is not visible on node {socket.gethostname()}: on several nodes "
            "`output` must be storage that all of them see"
        )
    else:
        os.chdir(folder)  # this process may have been started in a job's copy, which goes
    boxed = session.broadcast(link.hello(session.rank, session.workers, problem))
    if boxed is None:
        return
    handle = ray.get(boxed[0])
    before = ProcessState()
    while True:
        # other ranks wait in the broadcast meanwhile: an idle word every POLL_S keeps it alive
        work = session.broadcast(link.next_assignment() if session.rank == 0 else None)
        if isinstance(work, Assignment):
            run_assignment(link, work, handle, session)
            for line in before.restore():
                link.text(work, line)
        elif work == CLOSE:
            return


def run_assignment(link: BrokerLink, work: Assignment, handle: Any, session: Session) -> None:
    """Run one attempt at a trial and tell the broker how it ended.

    An error that leaves the process sound ends the attempt and not the gang.
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
    )
    state = "completed"
    resume_from = Path(work.resume_from) if work.resume_from else None
    try:
        run_loop(RunConfig.model_validate(work.config), handle, here, resume_from)
    except Stopped:
        state = "stopped"  # whoever asked for it has written down the true state
    except (Exception, SystemExit) as error:
        alike = session.workers == 1 or isinstance(error, ON_EVERY_RANK)
        if session.rank == 0 or not alike:
            link.text(work, f"rank {session.rank}: {traceback.format_exc()}")
            # what raymoco raises on purpose would be raised again
            link.fail(work, reason_of(error), lasting=isinstance(error, RaymocoError))
        if not alike or _spoils(error):
            # the other ranks are somewhere else in the loop, or the device is in no known state:
            # only new processes bring them together
            raise
        return
    finally:
        # a finished trial's tensors must not stand beside the next one's
        gc.collect()
        if session.device.type == "cuda":
            torch.cuda.empty_cache()
    if session.rank == 0:
        link.finish(work, state, "")


def _spoils(error: BaseException) -> bool:
    """Whether a process is of no use after this: CUDA's errors stay, but for a lack of memory."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)
