"""A local MLflow server on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from raymoco.errors import DataError

START_S = 120.0


def free_port(wanted: int) -> int:
    """Return a port of loopback that nobody listens on: the given one, or the next that is free.

    Raises:
        DataError: none of the next hundred is free.
    """
    for port in range(wanted, min(wanted + 100, 2**16)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise DataError(f"port {wanted} is taken, and so are the next hundred: choose another --port.")


class LocalServer:
    """Runs `mlflow server` on a store in its own process group.

    Args:
        store: where it keeps runs, such as sqlite:////tmp/mlflow.db.
        port: on loopback.
        log: where its output goes; default this process's.
        artifacts: a folder that the server keeps artifacts in and hands out; default MLflow's.
    """

    def __init__(
        self, store: str, port: int, log: Path | None = None, artifacts: Path | None = None
    ) -> None:
        self.uri = f"http://127.0.0.1:{port}"
        self._log = log
        self._command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
        self._command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        if artifacts is not None:
            self._command += ["--artifacts-destination", str(artifacts)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> LocalServer:
        """Start it and wait until it answers.

        Raises:
            DataError: it ended, or did not answer in time; names its output.
        """
        with contextlib.ExitStack() as closing:
            stream = closing.enter_context(self._log.open("ab")) if self._log else None
            self._process = subprocess.Popen(
                self._command,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                # its jobs evaluate language models, and their seven processes use a core for a
                # minute
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                where = self._log or "its output above"
                raise DataError(f"{self.uri}: the MLflow server did not start; see {where}.")
            time.sleep(0.1)
        return self

    def wait(self) -> int:
        """Wait until it ends; return its exit status."""
        assert self._process is not None
        return self._process.wait()

    def kill(self) -> None:
        """Kill it and its child processes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        # not urlopen: it would ask the proxy of the environment for this machine
        loopback = build_opener(ProxyHandler({}))
        try:
            with loopback.open(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False
