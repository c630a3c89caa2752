"""Processes of sweeps that really run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def begin(head: Any, file: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """`raymoco sweep FILE ...` as a process that joins the head."""
    return subprocess.Popen(
        [sys.executable, "-m", "raymoco", "sweep", str(file), *words],
        env={**head.environment, "RAY_ADDRESS": head.address, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    """Kill a driver, and close what was read from it."""
    process.kill()
    process.wait(10)
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()


def wait_until(condition: Any, seconds: float = 300, process: Any = None) -> None:
    """Wait for a condition, as long as the process that is to bring it about lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
