"""The Ray cluster of a command: join an existing one, or start a local one and end it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.job_config import JobConfig

from raymoco.config import ScaleConfig
from raymoco.engine.output_folder import inside_job
from raymoco.engine.ray_folder import ray_folder
from raymoco.engine.signals import handlers_kept
from raymoco.engine.tokens import bring_token
from raymoco.errors import ConfigError, InputError
from raymoco.files import standing_in, working_directory

# the environment of every process that raymoco starts on the cluster
WORKER_ENV = {
    # how often Ray Train polls for reports; with its default of 2 s no epoch could be shorter
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # verbose=0 silences only Tune's older output
    "RAY_AIR_NEW_OUTPUT": "0",
    # a gang is half a dozen processes; Ray warns on the terminal about more than four per CPU
    "RAY_worker_maximum_startup_concurrency": "8",
    "PYTHONWARNINGS": "ignore",
}


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def threads_per_worker(scale: ScaleConfig, declared: float | None = None) -> int:
    """The number of torch threads of one worker: its CPUs, or fewer if cores are oversubscribed.

    Args:
        declared: the CPUs that the node declares, one of them for Ray Data; None: its cores. Where
            it declares more than its cores, all workers get fewer threads, but at least one.
    """
    given = scale.cpus_per_worker
    if declared is not None:
        given *= min(1.0, cores() / max(1.0, declared - 1))
    return max(1, min(int(given), cores()))


def declared_cpus() -> float:
    """The CPUs that this worker's node declares."""
    here = ray.get_runtime_context().get_node_id()
    return float(next(n["Resources"].get("CPU", 0.0) for n in _nodes() if n["NodeID"] == here))


@contextmanager
def connect(scale: ScaleConfig, output: Path, groups: int = 1) -> Iterator[None]:
    """Join the cluster at RAY_ADDRESS or of the job, or start a local one; leave it at the end.

    Args:
        scale: the resources of one group of workers.
        output: the absolute output folder. It is this process's working directory meanwhile,
            because the directory in which the process was started may be deleted.
        groups: how many groups will run at once.
    Raises:
        ConfigError: the cluster is too small, or no CPU would be left for Ray Data; with numbers.
        InputError: no cluster answers at RAY_ADDRESS, or it requires a token that is not here.
    """
    held = groups * scale.workers * scale.cpus_per_worker
    _silence()
    # read now: once a job's driver has joined, other nodes unpack its directory again
    before = working_directory()
    if ray.is_initialized():  # the cluster of a test or a notebook: use it, and do not end it
        check_layout(scale, groups)
        with standing_in(output, before):
            yield
        return
    address = os.environ.get("RAY_ADDRESS") or None
    joined = address not in (None, "local") or inside_job()
    if joined:
        bring_token(address or "auto")
    with ExitStack() as left:
        try:
            if joined:
                with handlers_kept():
                    # where the command was typed: Ray lets its workers import from there too
                    ray.init(
                        address or "auto",
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        runtime_env={"env_vars": WORKER_ENV},
                    )
            else:
                # its processes inherit the working directory that this process has now
                left.enter_context(standing_in(output, before))
                with handlers_kept():
                    _start_local(max(cores(), int(-(-held // 1)) + 1), before)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).split("\n")[0]
            raise InputError(
                f"no Ray cluster answers at {address or 'this machine'} (RAY_ADDRESS is the head's "
                f"HOST:PORT, not the dashboard's address): {reason}"
            ) from None
        except BaseException:  # a Ctrl-C too: everything that has been started must end
            ray.shutdown()
            raise
        try:
            check_layout(scale, groups)
            if joined:
                left.enter_context(standing_in(output, before))
            yield
        finally:
            # it takes a second to import, which those have done who read images
            from raymoco.data.loading.shuffle_buffer import stop_all

            stop_all()
            ray.shutdown()


def _start_local(cpus: int, before: Path) -> None:
    """Start a Ray of this process's own.

    Args:
        before: the directory in which the command was typed.
    """
    ray.init(
        "local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=_object_store_bytes(),
        runtime_env={"env_vars": {**WORKER_ENV, **_python_path(before)}},
        # where workers import from too, once they stand: in PYTHONPATH a file of the user's would
        # hide one of Python's own, and no worker would come up
        job_config=JobConfig(_py_driver_sys_path=[str(before)]),
        _temp_dir=str(ray_folder()),
    )


def check_layout(scale: ScaleConfig, groups: int) -> None:
    """Refuse a layout that the cluster cannot hold, or that leaves Ray Data no CPU.

    Ray would wait forever, silently.
    """
    total = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = total.get("CPU", 0.0), total.get("GPU", 0.0)
    held = groups * scale.workers * scale.cpus_per_worker
    wanted = groups * scale.workers * scale.gpus_per_worker
    shape = f"{groups} x {scale.workers} workers"
    if scale.workers > 1 and 0 < scale.gpus_per_worker < 1:
        raise ConfigError(
            f"{scale.workers} workers with {scale.gpus_per_worker:g} GPUs each would share a GPU, "
            "which NCCL refuses: give the workers of one gang whole GPUs."
        )
    if wanted > gpus:
        raise ConfigError(
            f"{shape} x {scale.gpus_per_worker:g} GPUs hold {wanted:g} GPUs, but the cluster has "
            f"{gpus:g}. Lower budget.concurrent, workers or gpus_per_worker."
        )
    if held > cpus - 1:
        raise ConfigError(
            f"{shape} x {scale.cpus_per_worker:g} CPUs hold {held:g} of the cluster's {cpus:g} "
            "CPUs, but Ray Data needs one that no gang holds. Lower budget.concurrent, workers or "
            "cpus_per_worker."
        )
    nodes = [node["Resources"] for node in _nodes() if node["Alive"]]
    fits = sum(_workers_on(node, scale) for node in nodes)
    if fits < groups * scale.workers:
        raise ConfigError(
            f"{shape} x {scale.cpus_per_worker:g} CPUs and {scale.gpus_per_worker:g} GPUs do not "
            f"fit: the cluster's {len(nodes)} nodes have room for {fits} such workers."
        )


def _nodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


def _workers_on(node: dict[str, float], scale: ScaleConfig) -> int:
    room = node.get("CPU", 0.0) / scale.cpus_per_worker
    if scale.gpus_per_worker:
        room = min(room, node.get("GPU", 0.0) / scale.gpus_per_worker)
    return int(room + 1e-9)


def _python_path(before: Path) -> dict[str, str]:
    """PYTHONPATH as this process has it, for processes that stand somewhere else; {} without it."""
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return {"PYTHONPATH": os.pathsep.join(str(before / entry) for entry in given)} if given else {}


def _object_store_bytes() -> int:
    # a quarter of the free memory, unless the shared-memory file system is smaller
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    shm = os.statvfs("/dev/shm")
    return max(100 * 2**20, min(free // 4, int(shm.f_bavail * shm.f_frsize * 0.8), 8 * 2**30))


def _silence() -> None:
    """Keep the messages of Ray, Tune and Ray Data off the terminal; their log files have them."""
    os.environ.update({key: os.environ.get(key, value) for key, value in WORKER_ENV.items()})
    os.environ.pop("PYTHONWARNINGS", None)
    for name in ("ray", "ray.data", "ray.train", "ray.serve"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # it tells of a full disk, or of a client that was killed, with a stack; raymoco in a sentence
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"ray\..*")
