"""The interface between the training loop and its surroundings.

The loop does not know whether it runs in a test, in a TorchTrainer or on a warm gang: its session
has the rank, the device and the callbacks for reports. On other ranks than 0 a session reports
nothing, so the loop has no `if rank == 0`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from raymoco.errors import ConfigError, NotFiniteError, RaymocoError
from raymoco.metrics import Row

# all workers of a run raise these at the same place, so they are still synchronized afterwards
ON_EVERY_RANK = (NotFiniteError, ConfigError)


class Stopped(Exception):  # noqa: N818 - not an error: the run was asked to end early
    """Raised in the loop, on all ranks alike, when the session wants the run to end."""


@dataclass
class Session:
    """One worker's place in a run.

    `on_report(row, checkpoint)` is called on rank 0 at the end of each epoch and returns whether
    the run must stop there; `on_check()` returns the same between reports, every `check_every`
    steps (0: never); `on_text(line)` receives lines for the run's log; `profile` is the folder for
    a profile of some steps, None for no profile; `predictions` is the file for what the last
    evaluation predicts, None for none.
    """

    folder: Path
    rank: int = 0
    workers: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    threads: int = 1
    check_every: int = 0
    on_report: Callable[[Row, str | None], bool] = lambda row, checkpoint: False
    on_check: Callable[[], bool] = lambda: False
    on_text: Callable[[str], None] = lambda line: None
    profile: Path | None = None
    predictions: Path | None = None

    _steps: int = 0

    def step(self) -> None:
        """Begin a step; raise `Stopped` on every rank if the run must end."""
        self._steps += 1
        if self.check_every and self._steps % self.check_every == 0:
            # every rank counts the same steps, so all reach the broadcast
            stop = self.rank == 0 and self.on_check()
            if self.broadcast(stop):
                raise Stopped

    def report(self, row: Row, checkpoint: Path | None) -> None:
        """Report an epoch; raise `Stopped` on every rank if the run must end."""
        stop = False
        if self.rank == 0:
            stop = self.on_report(row, str(checkpoint) if checkpoint else None)
        self._steps = 0  # a report is a check too
        if self.broadcast(stop):
            raise Stopped

    def text(self, line: str) -> None:
        """Write a line to the run's log."""
        if self.rank == 0:
            self.on_text(line)

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on every rank; only for small picklable values."""
        if self.workers == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Average over the workers, in place."""
        if self.workers > 1:
            distributed.all_reduce(values)
            values /= self.workers
        return values


def reason_of(error: BaseException) -> str:
    """Describe in one line why a run failed."""
    if isinstance(error, RaymocoError):
        return str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return (
            "the GPU's memory was not enough: lower optim.batch_size, method.queue_size or "
            f"model.width, or put fewer gangs on a GPU ({_first_line(error)})"
        )
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0]
