"""Run jobs in parallel through Ray Data.

Each pipeline is one map over bundles of jobs or of row-group slices, on CPUs anywhere in the
cluster. raymoco reads shards itself instead of by `read_parquet`, so that an error names the
damaged shard and a bundle can contain any rows. Without Ray this process does the same work.
"""

from __future__ import annotations

import functools
import logging
import pickle
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import ray
import ray.data
from ray.data import DataContext
from ray.exceptions import RayTaskError

from raymoco.errors import DataError

FREE_CPU_WAIT_S = 3.0
Job = TypeVar("Job")
Result = TypeVar("Result")
BUNDLE_ROWS = 4096
BUNDLE_BYTES = 32 * 2**20  # decoded: a task takes about one second, so no consumer waits long
# its only record above DEBUG repeats, with 40 lines of traceback, the exception that we raise
TASK_FAILURES = "ray.data._internal.execution.streaming_executor_state"


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], *, parallel: bool
) -> Iterator[tuple[Result, Job]]:
    """Yield results of jobs as they finish: from Ray Data, or from this process without Ray.

    Args:
        function: picklable; so are its results.
        parallel: False: run in this process even if Ray is initialized.
    Raises:
        DataError: as `function` raised it, or no CPU is free.
    """
    if not (parallel and jobs and ray.is_initialized()):
        for job in jobs:
            yield function(job), job
        return
    require_free_cpu()
    items = [{"job": pickle.dumps((number, job))} for number, job in enumerate(jobs)]
    with DataContext.current(quiet_context(preserve_order=False)):
        dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            functools.partial(_do_jobs, function=function), batch_size=None, batch_format="numpy"
        )
        batches = dataset.iter_batches(batch_size=None, batch_format="numpy")
    with unwrapped_errors():
        for batch in batches:
            for done in batch["done"]:
                number, result = pickle.loads(done)  # safe: raymoco pickled it
                yield result, jobs[number]


def require_free_cpu(wait_s: float = FREE_CPU_WAIT_S) -> None:
    """Wait until a task with one CPU can run.

    Ray Data waits forever, and silently, where actors hold every CPU. A CPU that is busy with
    tasks, such as another worker's decoding, becomes free again.

    Raises:
        DataError: no CPU became free in time.
    """
    if _free_cpus() >= 1:
        return
    probe = ray.remote(_nothing).options(num_cpus=1, scheduling_strategy="DEFAULT").remote()
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        done, _ = ray.wait([probe], timeout=0.1)
        if done or _free_cpus() >= 1:
            return
    ray.cancel(probe, force=True)
    total = ray.cluster_resources().get("CPU", 0)  # type: ignore[no-untyped-call]  # Ray's
    raise DataError(
        f"all {total:g} CPUs of the cluster are held, none is left for reading images. Give the "
        "workers fewer (scale.cpus_per_worker, scale.workers, or budget.concurrent of a sweep), so "
        "that at least one stays free."
    )


def _free_cpus() -> float:
    return float(ray.available_resources().get("CPU", 0))  # type: ignore[no-untyped-call]  # Ray's


def _nothing() -> None:
    """A task that shows that a CPU was free."""


def _do_jobs(batch: Any, function: Callable[[Any], Any]) -> Iterator[dict[str, Any]]:
    for text in batch["job"]:
        number, job = pickle.loads(text)  # safe: raymoco pickled it
        yield {"done": np.array([pickle.dumps((number, function(job)))], dtype=object)}


@contextmanager
def unwrapped_errors() -> Iterator[None]:
    """Raise a DataError of a task as it is, without Ray's wrapper and traceback."""
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, DataError):
            # keep our one line; Ray Data appends how to retry, which does not repair a damaged file
            raise DataError(str(error.cause).split("\n")[0]) from None
        raise


def quiet_context(*, preserve_order: bool) -> DataContext:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    logging.getLogger(TASK_FAILURES).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        # Ray 2.60 warns of its own deprecated fields when it first sets them to their defaults
        warnings.simplefilter("ignore", DeprecationWarning)
        context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = preserve_order
    context.execution_options.verbose_progress = False
    return context
