"""What a run leaves behind in its process does not reach the next one."""

import os
import random
import threading

import numpy as np
import pytest
import torch

from raymoco.engine.process_state import ProcessState

FOREIGN = {
    "the default dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "torch's threads": (
        lambda: torch.set_num_threads(torch.get_num_threads() + 1),
        torch.get_num_threads,
    ),
    "deterministic algorithms": (
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "the precision of matrix products": (
        lambda: torch.set_float32_matmul_precision("medium"),
        torch.get_float32_matmul_precision,
    ),
    "gradient mode": (lambda: torch._C._set_grad_enabled(False), torch.is_grad_enabled),
    "anomaly detection": (
        lambda: torch.autograd.set_detect_anomaly(True),
        torch.is_anomaly_enabled,
    ),
    "autocast": (
        lambda: torch.set_autocast_enabled("cpu", True),
        lambda: torch.is_autocast_enabled("cpu"),
    ),
    "cuDNN": (
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
        lambda: torch.backends.cudnn.benchmark,
    ),
    "the working directory": (lambda: os.chdir("/"), os.getcwd),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_setting_that_a_trial_leaves_changed_is_put_back_and_said(what):
    change, read = FOREIGN[what]
    state, was = ProcessState(), read()
    try:
        change()
        assert read() != was, "the change must be one"
    finally:
        said = state.restore()
    assert read() == was
    assert said == [f"the trial left {what} changed: put back"]
    assert state.restore() == []


def test_hooks_on_every_module_are_removed():
    state, called = ProcessState(), []
    hook = torch.nn.modules.module.register_module_forward_hook(lambda *_: called.append(1))
    try:
        torch.nn.Identity()(torch.zeros(1))
    finally:
        said = state.restore()
    torch.nn.Identity()(torch.zeros(1))
    assert len(called) == 1
    assert any("hook on every module" in line for line in said)
    hook.remove()


def test_random_numbers_begin_alike_whatever_was_drawn_before():
    state, drawn = ProcessState(), []
    for skipped in (0, 5):
        for _ in range(skipped):
            random.random(), np.random.rand(), torch.rand(1)
        state.restore()
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert drawn[0] == drawn[1]


def test_threads_left_behind_are_named_once_because_nobody_can_end_them():
    state, over = ProcessState(), threading.Event()
    thread = threading.Thread(target=over.wait, name="left over")
    thread.start()
    try:
        assert state.restore() == ["the trial left threads that cannot be ended: left over"]
        assert state.restore() == []
    finally:
        over.set()
        thread.join()
