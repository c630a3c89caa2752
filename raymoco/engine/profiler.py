"""Profile the time of a step: a table to read and a trace for a trace viewer."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

WARM_UP, MOST = 2, 20  # how many steps are skipped, and how many at most are recorded
OPERATORS = 12
# every region that the loop and the method name, in the order of a step; "whole" contains them all
REGIONS = (
    "data",
    "views",
    "momentum update",
    "queries",
    "keys",
    "losses",
    "enqueue",
    "backward",
    "optimizer",
)
WHOLE = "whole step"


class StepProfiler:
    """Records some steps of an epoch; does nothing where `folder` is None.

    Args:
        folder: gets table.txt and trace.json, which chrome://tracing and Perfetto open.
        steps: of the epoch.
    """

    def __init__(self, folder: Path | None, steps: int, device: torch.device) -> None:
        self._folder, self._device = folder, device
        self._profile: Any = None
        if folder is None:
            return
        warm_up = min(WARM_UP, max(steps - 1, 0))
        self._active = min(MOST, steps - warm_up)
        activities = [ProfilerActivity.CPU]
        if device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        self._profile = profile(
            activities=activities,
            schedule=schedule(wait=0, warmup=warm_up, active=self._active, repeat=1),
            on_trace_ready=self._write,
        )

    def __enter__(self) -> StepProfiler:
        if self._profile is not None:
            self._profile.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._profile is not None:
            self._profile.__exit__(kind, error, trace)

    def step(self) -> None:
        """Mark the end of a step."""
        if self._profile is not None:
            self._profile.step()

    def _write(self, found: Any) -> None:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        found.export_chrome_trace(str(self._folder / "trace.json"))
        text = table(found.key_averages(), self._active, self._device)
        (self._folder / "table.txt").write_text(text, encoding="utf-8")


def table(averages: Any, steps: int, device: torch.device) -> str:
    """Format milliseconds per step and shares: regions, then the most expensive operators.

    Args:
        averages: from `torch.profiler.profile.key_averages()`.
        steps: how many were recorded.
    """
    own = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    # a GPU's trace has every region twice: on the host and on the device
    on_host = [row for row in averages if row.device_type.name == "CPU"]
    by_name = {row.key: row for row in on_host}
    # use the host's time on a GPU too: it is the time that the loop takes
    whole = by_name[WHOLE].cpu_time_total / steps / 1000
    lines = [f"{steps} steps on {device.type}, {whole:.2f} ms each", ""]
    if device.type == "cuda":
        lines.insert(1, "regions: the host's time, the GPU works behind it; operators: the GPU's")
    lines.append(f"{'region':<28}{'ms a step':>12}{'share':>9}")
    rest = whole
    for name in REGIONS:
        if name in by_name:
            spent = by_name[name].cpu_time_total / steps / 1000
            rest -= spent
            lines.append(f"{name:<28}{spent:>12.3f}{spent / whole:>9.1%}")
    lines.append(f"{'the rest':<28}{rest:>12.3f}{rest / whole:>9.1%}")
    lines += ["", f"{'operator, its own time':<44}{'calls':>8}{'ms a step':>12}{'share':>9}"]
    operators = [row for row in on_host if row.key not in (*REGIONS, WHOLE)]
    operators = [row for row in operators if not row.key.startswith("ProfilerStep")]
    for row in sorted(operators, key=lambda row: -getattr(row, own))[:OPERATORS]:
        spent = getattr(row, own) / steps / 1000
        calls = row.count / steps
        lines.append(f"{row.key[:43]:<44}{calls:>8.1f}{spent:>12.3f}{spent / whole:>9.1%}")
    return "\n".join(lines) + "\n"
