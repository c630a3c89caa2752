"""Restore process-wide state that a run has changed, before the next run starts.

A warm gang runs third-party code too: backbones, sources, callbacks. The process-wide state of
torch and Python is restored to what it was before the first trial. Threads cannot be ended from
outside: they are reported. Environment variables and warning filters change whenever a module is
imported for the first time, and are not restored.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as modules

# torch keeps the hooks that are called for every module in these
_HOOKS = (
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
    "_global_buffer_registration_hooks",
    "_global_module_registration_hooks",
    "_global_parameter_registration_hooks",
    "_global_forward_hooks_always_called",
    "_global_forward_hooks_with_kwargs",
)

_DEVICES = ("cpu", "cuda")
_CUDNN = ("enabled", "benchmark", "deterministic")


def _set_autocast(was: tuple[bool, ...]) -> None:
    for device, on in zip(_DEVICES, was, strict=True):
        torch.set_autocast_enabled(device, on)


def _set_cudnn(was: tuple[bool, ...]) -> None:
    for name, value in zip(_CUDNN, was, strict=True):
        setattr(torch.backends.cudnn, name, value)


# a name, a function that reads the state, and one that restores it
_SETTINGS: tuple[tuple[str, Callable[[], Any], Callable[[Any], Any]], ...] = (
    ("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
    ("the default device", torch.get_default_device, torch.set_default_device),
    ("torch's threads", torch.get_num_threads, torch.set_num_threads),
    (
        "deterministic algorithms",
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda was: torch.use_deterministic_algorithms(was[0], warn_only=was[1]),
    ),
    (
        "the precision of matrix products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    ("gradient mode", torch.is_grad_enabled, torch._C._set_grad_enabled),
    ("anomaly detection", torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    (
        "autocast",
        lambda: tuple(torch.is_autocast_enabled(device) for device in _DEVICES),
        _set_autocast,
    ),
    (
        "cuDNN",
        lambda: tuple(getattr(torch.backends.cudnn, name) for name in _CUDNN),
        _set_cudnn,
    ),
    ("the working directory", os.getcwd, os.chdir),
)


class ProcessState:
    """Saves the state of this process; `restore` brings it back."""

    def __init__(self) -> None:
        self._settings = [read() for _, read, _ in _SETTINGS]
        self._hooks = {name: _hooks(name).copy() for name in _HOOKS}
        self._threads = {thread.ident for thread in threading.enumerate()}

    def restore(self) -> list[str]:
        """Restore everything, and return a line for each thing that had been changed."""
        said = []
        for (what, read, write), was in zip(_SETTINGS, self._settings, strict=True):
            if read() != was:
                write(was)
                said.append(f"the trial left {what} changed: put back")
        for name, was in self._hooks.items():
            hooks = _hooks(name)
            if list(hooks) != list(was):
                hooks.clear()
                hooks.update(was)
                said.append(f"the trial left a hook on every module ({name}): removed")
        # runs seed torch in every epoch; raymoco does not use Python's and NumPy's generators here
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        left = [t.name for t in threading.enumerate() if t.ident not in self._threads]
        if left:
            said.append(f"the trial left threads that cannot be ended: {', '.join(left)}")
            self._threads |= {thread.ident for thread in threading.enumerate()}
        return said


def _hooks(name: str) -> Any:
    return getattr(modules, name)
