"""Build a TorchTrainer without datasets, and run it in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer

from raymoco.config import ScaleConfig
from raymoco.engine.output_folder import RAY_FOLDER
from raymoco.engine.session import Session

# the other workers wait while rank 0 evaluates, which takes more than half an hour on ImageNet
COLLECTIVE_TIMEOUT_S = 4 * 3600

# each of these callbacks starts an actor per trainer, which takes seconds of a core and 200 MB: one
# serves `datasets=`, which raymoco does not use; the other is detached and outlives a killed driver
SPARED = ("DatasetsCallback", "PlacementGroupCleanerCallback")


class LeanTrainer(TorchTrainer):
    """A TorchTrainer without the helper actors that raymoco does not need."""

    def _create_default_callbacks(self) -> list[Any]:
        found = super()._create_default_callbacks()  # type: ignore[misc]  # of Train V2
        return [callback for callback in found if type(callback).__name__ not in SPARED]


def build_trainer(
    loop: Callable[[dict[str, Any]], None],
    loop_config: dict[str, Any],
    scale: ScaleConfig,
    *,
    name: str,
    folder: Path,
    max_failures: int = 0,
) -> TorchTrainer:
    """Build a TorchTrainer whose workers run `loop(loop_config)`; Ray's files go to folder/.ray.

    It has no `datasets=`, which would fix the data for the trainer's life: workers build their own
    streams. `max_failures` is how often Ray Train restarts the group after an error; -1: always.
    """
    resources: dict[str, float] = {"CPU": scale.cpus_per_worker}
    if scale.gpus_per_worker:
        resources["GPU"] = scale.gpus_per_worker
    return LeanTrainer(
        loop,
        train_loop_config=loop_config,
        torch_config=TorchConfig(timeout_s=COLLECTIVE_TIMEOUT_S),
        scaling_config=ray.train.ScalingConfig(
            num_workers=scale.workers,
            use_gpu=scale.gpus_per_worker > 0,
            resources_per_worker=resources,
        ),
        run_config=ray.train.RunConfig(  # type: ignore[call-arg]  # mypy sees that of Train V1
            name=name,
            storage_path=str(folder / RAY_FOLDER),
            failure_config=ray.train.FailureConfig(max_failures=max_failures),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
    )


class FitThread(threading.Thread):
    """Runs `fit()` of a trainer or a tuner, so that the driver's main thread can handle Ctrl-C.

    `error` is the exception that fit() raised, once the thread has ended.
    """

    def __init__(self, fit: Callable[[], object], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._fit = fit
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._fit()
        except BaseException as error:  # noqa: BLE001 - the thread that joins this one reads it
            self.error = error


def worker_session(folder: Path, threads: int) -> Session:
    """The session of this worker process of Ray Train."""
    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    assert isinstance(device, torch.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # NCCL and torch.distributed's object broadcasts use it
    return Session(
        folder=folder,
        rank=context.get_world_rank(),
        workers=context.get_world_size(),
        device=device,
        threads=threads,
    )


def root_cause(error: BaseException) -> str:
    """Extract one line with the cause from Ray Train's nested messages."""
    text = str(error)
    for death in ("Worker exit detail: ", "The actor is dead because "):
        if death in text:
            return "a worker process died: " + text.split(death)[1].split("\n")[0].split(". ")[0]
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    ours = [line for line in lines if line.startswith("raymoco.errors.")]
    return ours[-1].split(": ", 1)[-1] if ours else lines[-1] if lines else type(error).__name__
