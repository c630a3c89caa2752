"""How much memory a call takes, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path


def peak_megabytes(prepare: Callable[..., Callable[[], object]], *arguments: object) -> float:
    """Peak resident memory of a call above what its inputs take, MiB.

    Args:
        prepare: importable; from the arguments makes the inputs and returns the call.
    """
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_measure, args=(there, prepare, arguments)
    )
    process.start()
    there.close()
    try:
        return float(here.recv())
    finally:
        process.join()


def _measure(
    answer: Connection, prepare: Callable[..., Callable[[], object]], arguments: tuple[object, ...]
) -> None:
    call = prepare(*arguments)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    call()
    answer.send((_status("VmHWM") - before) / 1024)


def _status(field: str) -> int:
    """A field of the process's status, KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise KeyError(field)
