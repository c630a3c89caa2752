"""What a trial costs beyond its training: warm gangs beside the pattern that Ray documents.

The documented way to tune a TorchTrainer is a Tune trial that starts one and waits for it. Both
train the same loop on the same digits, 5 short epochs, two trials at a time. A sweep of few trials
and one of more give the cost of a further trial as a slope, free of what starting costs.
"""

from __future__ import annotations

import json
import os
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


@dataclass
class Outcome:
    """One sweep: what its driver measured, and the memory of all its processes."""

    trials: int
    found: dict[str, Any]
    peak_mb: float
    workers_mb: list[float]  # of the training processes, from the first trial to the last

    @property
    def seconds(self) -> float:
        """From the first trial's start to the last one's end."""
        return float(self.found["last_end"] - self.found["first_start"])

    @property
    def startup(self) -> float:
        """From the driver's start to the first trial's."""
        return float(self.found["first_start"] - self.found["began"])


def run(quick: bool) -> list[Table]:
    """Time sweeps of both kinds, weigh them, and look at what early stops leave behind."""
    warm = [_play("warm", n) for n in ((4, 12) if quick else (8, 32))]
    documented = [_play("documented", n) for n in ((2, 4) if quick else (2, 6))]
    cost = Table(
        "what a further trial costs, s",
        [
            "",
            "trials",
            "first start",
            "all trials",
            "a further trial",
            "of it training",
            "overhead",
        ],
    )
    for name, (few, many) in (("warm gangs", warm), ("a TorchTrainer a trial", documented)):
        more = many.trials - few.trials
        slope = (many.seconds - few.seconds) / more
        training = (many.found["train_seconds"] - few.found["train_seconds"]) / more / CONCURRENT
        cost.add(
            name,
            f"{few.trials} and {many.trials}",
            many.startup,
            many.seconds,
            slope,
            training,
            slope - training,
        )
    cost.notes.append(
        "One sweep of each size. Training is the loop's own time, from the first step to the last "
        f"evaluation, shared by {CONCURRENT} trials at a time."
    )
    memory = Table("memory, MB", ["", "all processes, at most", "processes", "trials"])
    for name, pair in (("warm gangs", warm), ("a TorchTrainer a trial", documented)):
        memory.add(name, pair[1].peak_mb, pair[1].found["processes"], pair[1].trials)
    memory.notes.append("Private memory and a share of what is shared (PSS), Ray itself included.")
    long = _play("warm", 12 if quick else 50)
    flat = Table("memory of the two training processes, MB", ["after", "both together"])
    samples = long.workers_mb
    for part, place in (("a tenth", 0.1), ("half", 0.5), ("all", 1.0)):
        flat.add(
            f"{part} of {long.trials} trials",
            samples[min(int(place * len(samples)), len(samples) - 1)],
        )
    left = Table(
        "3 s after a sweep whose trials were stopped early (ASHA)",
        ["", "trials stopped", "CPUs still held", "placement groups", "training processes"],
    )
    for name, kind, trials in (
        ("warm gangs", "warm", 6),
        ("a TorchTrainer a trial", "documented", 4),
    ):
        found = _play(kind, trials, stop_early=True).found
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
    trained = [mb for when, mb in scale.workers if when >= found["first_start"] and mb]
    return Outcome(trials, found, scale.peak_mb, trained)


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
