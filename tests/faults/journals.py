"""Journals as sweeps write them, and processes that deliver them: without Ray."""

from __future__ import annotations

import random
import time
from pathlib import Path

from raymoco.event_log import Closed, Journal, RunState, begun
from raymoco.study.journal.events import (
    Assigned,
    Ended,
    Proposed,
    Reported,
    TrialState,
)
from raymoco.study.journal.find import find
from raymoco.study.mlflow.sync import sync
from raymoco.study.mlflow.translate import open_translator
from raymoco.tracking import Mirror, place_of
from tests.small import small_sweep

SWEEP = """\
kind: search
search: {{method.temperature: {{loguniform: [0.05, 0.5]}}}}
sampler: {{name: random}}
budget: {{trials: {trials}, concurrent: 2}}
tracking: {{uri: {uri}}}
"""


def tracked_sweep(output, uri, name="away", epochs=2, trials=2):
    text = SWEEP.format(trials=trials, uri=uri)
    return small_sweep(output / f"{name}.yaml", text, epochs=epochs)


def write_journal(file, folder, trials=3, epochs=5):
    """What a sweep of so many trials writes down."""
    journal = Journal(folder / "journal.jsonl")
    (folder / "sweep.yaml").write_text(file.read_text())
    journal.append(begun(f"id-of-{folder.name}", {}))
    for number in range(trials):
        trial_id = f"t{number:03d}"
        write_trial(journal, trial_id, epochs)
    journal.append(Closed(state=RunState.COMPLETED))
    journal.close()


def write_trial(journal, trial_id, epochs):
    about = {"trial_id": trial_id, "values": {"method.temperature": 0.1}, "seed": 0, "cell": ""}
    journal.append(Proposed(config="seed: 0\n", **about))
    journal.append(Assigned(trial_id=trial_id, attempt=0, gang="gang-0"))
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "eval/knn_top1": random.random(), "train/loss": random.random()}
        journal.append(Reported(trial_id=trial_id, row=row, checkpoint=None))
    journal.append(Ended(trial_id=trial_id, state=TrialState.COMPLETED, reason=""))


def deliver(output, name, barrier):
    """`raymoco sync` in a process that starts together with others."""
    barrier.wait()
    sync(find(str(output / name)))


def drive(folder: Path, first: int, up):
    """A driver that writes trials down, numbered from `first`, until it is killed."""
    journal = Journal(folder / "journal.jsonl")
    journal.append(begun("an-id", {}))
    mirror = Mirror(place_of(folder, None, None), open_translator(find(str(folder))))
    mirror.start()
    up.set()
    for number in range(first, first + 1000):
        write_trial(journal, f"t{number:03d}", 3)
        mirror.wake()
        time.sleep(0.05)
