"""Faults inside real workers: what a gang runs, with a trial's misfortune played at a given epoch.

A file `placed/TRIAL.EPOCH.RANK` beside the sweep's folder names a fault; whoever plays it removes
it first, so that it happens once. With the word `always` before it, it happens each time.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import torch
from ray import cloudpickle

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def faulty_gang_loop(loop_config):
    from raymoco.engine.session import Session
    from raymoco.study.gangs.worker import run_gang

    faults = Path(loop_config["folder"]).parent / "placed"
    step, report = Session.step, Session.report

    def faulty_step(session):
        reached = getattr(session, "reached", 0)
        file = faults / f"{session.folder.name}.{reached + 1}.{session.rank}"
        if file.exists():
            word = file.read_text()
            if not word.startswith("always "):
                file.unlink()
            play(word.removeprefix("always "))
        step(session)

    def noting_report(session, row, checkpoint):
        session.reached = int(row["epoch"])
        report(session, row, checkpoint)

    Session.step, Session.report = faulty_step, noting_report
    try:
        run_gang(loop_config)
    finally:
        Session.step, Session.report = step, report


def play(word):
    if word == "raise":
        raise KeyError("a defect in a backbone")
    if word == "oom":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore")
    if word == "exit":
        sys.exit(3)
    if word == "hang":
        time.sleep(3600)
    if word == "slow":
        time.sleep(4)
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "dirt":
        torch.set_default_dtype(torch.float64)
        torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
        threading.Thread(target=time.sleep, args=(3600,), name="left over", daemon=True).start()
        raise KeyError("and then it failed")


def place_faults(output, **words):
    """place_faults(folder, **{"t000.2.0": "raise"}): in the second epoch of t000, on rank 0"""
    folder = output / "placed"
    folder.mkdir()
    for name, word in words.items():
        (folder / name).write_text(word)


def processes(head, title):
    """The processes of a running head whose command line has a word, oldest first."""
    top = [one for one in psutil.process_iter(["cmdline"]) if is_raylet(one, head)]
    found = [child for raylet in top for child in raylet.children() if title in line(child)]
    return sorted(found, key=psutil.Process.create_time)


def is_raylet(process, head):
    words = process.info["cmdline"] or [""]
    return words[0].endswith("raylet") and head.folder in " ".join(words)


def line(process):
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
