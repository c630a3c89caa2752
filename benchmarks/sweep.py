"""What a trial costs beyond its training: warm gangs beside the pattern that Ray documents.

The documented way to tune a TorchTrainer is a Tune trial that starts one and waits for it. Both
train the same loop on the same digits, 5 short epochs, two trials at a time. The cost of a further
trial is the slope between an early and a late trial's end, free of what starting costs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.tables import Table

CONCURRENT = 2
MB = 2**20


KINDS = {"warm": "warm gangs", "documented": "a TorchTrainer a trial"}


@dataclass
class Outcome:
    """One sweep: what its driver measured, and the memory of all its processes."""

    found: dict[str, Any]
    peak_mb: float
    workers_mb: list[float]  # of the training processes, from the first trial to the last

    @property
    def first(self) -> float:
        """Seconds from the driver's start to the end of the first trial."""
        return float(self.found["ends"][0] - self.found["began"])

    def slope(self, few: int, many: int) -> float:
        """Seconds from one end of a trial to the next, between these two."""
        ends = self.found["ends"]
        return float(ends[many - 1] - ends[few - 1]) / (many - few)

    @property
    def training(self) -> float:
        """Seconds of training that a trial brings, its share of two at a time."""
        return statistics.median(self.found["train_seconds"]) / CONCURRENT


def run(quick: bool) -> list[Table]:
    """Time sweeps of both kinds, weigh them, and look at what early stops leave behind."""
    sizes = {"warm": (4, 12, 12), "documented": (2, 4, 4)}
    if not quick:
        sizes = {"warm": (8, 32, 50), "documented": (2, 6, 6)}
    cost = Table(
        "what a further trial costs, s",
        [
            "",
            "trials",
            "until the first has ended",
            "a further trial",
            "of it training",
            "overhead",
        ],
        notes=[
            "A further trial: the slope of the trials' ends within one sweep. Training: the loop's "
            f"own time, from the first step to the last evaluation, {CONCURRENT} at a time."
        ],
    )
    memory = Table(
        "memory, MB",
        ["", "all processes, at most", "processes"],
        notes=["Private memory and a share of what is shared (PSS), Ray itself included."],
    )
    flat = Table("memory of the two training processes of warm gangs, MB", ["after", "both"])
    left = Table(
        "3 s after a sweep whose trials were stopped early (ASHA)",
        ["", "trials stopped", "CPUs still held", "placement groups", "training processes"],
    )
    for kind, name in KINDS.items():
        few, many, trials = sizes[kind]
        whole = _play(kind, trials)
        slope, training = whole.slope(few, many), whole.training
        between = f"{few} to {many}"
        cost.add(name, between, whole.first, slope, training, slope - training)
        memory.add(name, whole.peak_mb, whole.found["processes"])
        if kind == "warm":
            for part, place in (("a tenth", 0.1), ("half", 0.5), ("all", 1.0)):
                sample = whole.workers_mb[round(place * (len(whole.workers_mb) - 1))]
                flat.add(f"{part} of {trials} trials", sample)
        found = _play(kind, 4, stop_early=True).found
        left.add(
            name, found["stopped"], found["held"], found["placement_groups"], found["training"]
        )
    return [cost, memory, flat, left]


def _play(kind: str, trials: int, stop_early: bool = False) -> Outcome:
    """One sweep in a process of its own, which starts and ends its own Ray."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
        process = subprocess.Popen(
            [
                sys.executable, "-m", "benchmarks.sweep_once",
                kind, str(trials), folder, "early" if stop_early else "",
            ],
            env={**environment, "RAY_USAGE_STATS_ENABLED": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        scale = _Scale(process.pid)
        _, err = process.communicate()
        scale.stop()
        result = Path(folder) / "found.json"
        if not result.exists():
            raise RuntimeError(f"the {kind} sweep of {trials} trials failed: {err[-2000:]}")
        found = json.loads(result.read_text())
    found["processes"] = scale.processes
    first, last = found["first_start"], found["ends"][-1]
    trained = [mb for when, mb in scale.workers if first <= when <= last]
    return Outcome(found, scale.peak_mb, trained)


class _Scale(threading.Thread):
    """Weighs a process and all below it, twice a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._top = psutil.Process(pid)
        self._done = threading.Event()
        self.peak_mb, self.processes = 0.0, 0
        self.workers: list[tuple[float, float]] = []
        self.start()

    def run(self) -> None:
        """Until stop()."""
        while not self._done.wait(0.5):
            total, count, training = 0.0, 0, 0.0
            try:
                below = [self._top, *self._top.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for process in below:
                try:
                    share = process.memory_full_info().pss / MB
                    title = " ".join(process.cmdline())
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
                total, count = total + share, count + 1
                training += share if "RayTrainWorker" in title else 0.0
            if total > self.peak_mb:
                self.peak_mb, self.processes = total, count
            self.workers.append((time.time(), training))

    def stop(self) -> None:
        """The process has ended."""
        self._done.set()
        self.join()
