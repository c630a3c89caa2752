"""One Ray cluster for the whole session, started as a user would start it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from tests.ports import free_port

CPUS = 3
# a local `ray.init` of some test would turn on token mode for the rest of its process, if there is
# a token in ~/.ray: the cluster of this session, which has none, then never answers Ray Data
os.environ["RAY_AUTH_MODE"] = "disabled"
# no timings in tests: what takes long on a busy machine is not wrong
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@dataclass(frozen=True)
class Head:
    """Addresses of the running head, and the environment in which its users live."""

    address: str
    dashboard: str
    folder: str
    environment: dict[str, str]


@pytest.fixture(scope="session")
def head():
    """`ray start --head` with a dashboard, for jobs; ended with the session."""
    port, dashboard, client, agent = (free_port() for _ in range(4))
    folder = tempfile.mkdtemp(prefix="rm-")  # short: Ray's sockets lie in it
    environment = {
        **os.environ,
        "RAY_worker_maximum_startup_concurrency": "8",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment.pop("RAY_ADDRESS", None)
    ray = str(Path(sys.executable).parent / "ray")
    command = [ray, "start", "--head", "--block", f"--port={port}", f"--num-cpus={CPUS}"]
    command += [f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--temp-dir={folder}"]
    command += ["--node-ip-address=127.0.0.1", "--object-store-memory=500000000"]
    # any free ones: two heads would count up the same range
    command += ["--min-worker-port=0", "--max-worker-port=0"]
    log = Path(folder) / "start.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        _wait_for(dashboard, process, log)
        yield Head(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}", folder, environment)
    finally:
        top = psutil.Process(process.pid)
        for one in [*top.children(recursive=True), top]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(head):
    """This process joined to the head: for tests that call the library."""
    import ray

    from raymoco.engine.cluster import WORKER_ENV

    os.environ.update({k: v for k, v in WORKER_ENV.items() if k != "PYTHONWARNINGS"})
    ray.init(
        address=head.address,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": WORKER_ENV},
    )
    yield head
    ray.shutdown()


@pytest.fixture(scope="session")
def raymoco(head):
    """`raymoco ...` as a process of its own that joins the head by RAY_ADDRESS."""

    def run(*arguments: str, timeout: float = 400, **environment: str):
        return subprocess.run(
            [sys.executable, "-m", "raymoco", *arguments],
            env={**head.environment, "RAY_ADDRESS": head.address, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


def _wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"ray start ended: {log.read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError(f"ray start did not come up: {log.read_text()}")
