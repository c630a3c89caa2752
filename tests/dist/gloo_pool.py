"""Two processes that stay up and run one function after another as a gloo group."""

from __future__ import annotations

import importlib
import multiprocessing
import pickle
import queue
import time
import traceback
from typing import Any

from tests.ports import free_port

WORKERS = 2


class WorkerFailedError(AssertionError):
    """A function raised in a worker, or a worker died or hung; carries the traceback."""


class GlooPool:
    """Runs module-level functions in every worker; results come back in rank order."""

    def __init__(self, timeout_s: float = 60.0, grace_s: float = 5.0) -> None:
        self.timeout_s = timeout_s
        self.grace_s = grace_s
        context = multiprocessing.get_context("spawn")
        port = free_port()
        self._calls = [context.Queue() for _ in range(WORKERS)]
        self._results = context.Queue()
        self._processes = [
            context.Process(target=_serve, args=(rank, port, calls, self._results), daemon=True)
            for rank, calls in enumerate(self._calls)
        ]
        for process in self._processes:
            process.start()

    def run(self, module: str, function: str, *arguments: Any) -> list[Any]:
        """What `module.function(*arguments)` returns in each worker."""
        if not all(process.is_alive() for process in self._processes):
            raise WorkerFailedError("the pool is down: an earlier call failed or hung")
        for calls in self._calls:
            # pickled here: torch's own way of sending tensors would share memory
            calls.put((module, function, pickle.dumps(arguments)))
        deadline = time.monotonic() + self.timeout_s
        results: dict[int, bytes | None] = {}
        failures: list[str] = []
        while len(results) < WORKERS:
            try:
                rank, value, error = self._results.get(timeout=0.2)
            except queue.Empty:
                dead = [p.exitcode for p in self._processes if not p.is_alive()]
                if dead or time.monotonic() > deadline:
                    self.close()
                    failures.append(f"a worker {f'died with {dead}' if dead else 'hung'}")
                    break
                continue
            results[rank] = value
            if error is not None:
                failures.append(f"rank {rank}:\n{error}")
                # its peer may wait for ever for what this one no longer sends
                deadline = min(deadline, time.monotonic() + self.grace_s)
        if failures:
            raise WorkerFailedError(f"in {function}: " + "\n".join(failures))
        return [pickle.loads(results[rank] or b"") for rank in range(WORKERS)]

    def close(self) -> None:
        """End the workers."""
        for calls in self._calls:
            calls.put(None)
        for process in self._processes:
            process.join(timeout=2)
            if process.is_alive():
                process.kill()
                process.join()


def _serve(rank: int, port: int, calls: Any, results: Any) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORKERS
    )
    while (call := calls.get()) is not None:
        module, function, arguments = call
        try:
            run = getattr(importlib.import_module(module), function)
            results.put((rank, pickle.dumps(run(*pickle.loads(arguments))), None))
        except BaseException:  # noqa: BLE001 - whatever it is, the test shall see it
            results.put((rank, None, traceback.format_exc()))
    dist.destroy_process_group()
