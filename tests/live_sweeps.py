"""Small sweeps that really run: their files and their processes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from raymoco.yamlfile import dump_yaml, merge

# an epoch takes a tenth of a second
RUN = {
    "preset": "digits",
    "data": {"limit": 300},
    "model": {"width": 4},
    "optim": {"batch_size": 64},
    "method": {"queue_size": 32},
}


def write_sweep(file: Path, text: str, **run: Any) -> Path:
    """Write a sweep of small runs, called as the file, whose output is the file's folder.

    Args:
        text: the rest of the file, as YAML.
        run: what is different in its `run`: `epochs=4`, `data={"labelled_fraction": 0.1}`.
    """
    head = {"name": file.stem, "output": str(file.parent), "run": merge(RUN, run)}
    file.write_text(dump_yaml(head) + text)
    return file


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
    process.stdout.close()
    process.stderr.close()


def wait_until(condition: Any, seconds: float = 300, process: Any = None) -> None:
    """Wait for a condition, as long as the process that is to bring it about lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
