"""Folders as sweeps leave them, written without a training: for tests of what reads them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raymoco.engine.predictions import Predictions, write_predictions
from raymoco.study.journal.events import SWEEP_EVENTS
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger
from raymoco.study.journal.trials_csv import write_trials
from raymoco.study.proposals.remaining import open_tuning
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.cells import Cell
from raymoco.study.sweepfile.load import Sweep, load_sweep

HOSTILE = '<script>alert("1")</script> & 50 % of $x_1$ | {a} \\ ~ ^ #'

ABLATION = """\
kind: ablation
name: terms
question: Does each term help?
run: {preset: digits, epochs: 5}
factors:
  cross:
    off: {method.cross_consistency.weight: 0}
    on:  {method.cross_consistency.weight: 1.0}
  uniform:
    off: {method.negative_uniformity.weight: 0}
    on:  {method.negative_uniformity.weight: 0.1}
seeds: [0, 1, 2, 3, 4]
"""

SEARCH = """\
kind: search
name: found
run: {preset: digits, epochs: 5}
search:
  method.temperature:              {loguniform: [0.05, 0.5]}
  method.queue_size:               {choice: [64, 128, 256]}
  method.cross_consistency.weight: {loguniform: [0.01, 10], or: 0}
scheduler: {name: asha, grace_epochs: 2}
budget: {trials: 40}
confirm: {top: 2, seeds: [100, 101, 102]}
"""

BEGUN = {
    "event": "begun",
    "id": "0123456789abcdef",
    "tags": {
        "raymoco.source": "digits",
        "raymoco.train_images": "1288",
        "raymoco.train_labels": "1288",
        "raymoco.classes": "10",
        "raymoco.eval_images": "148",
        "raymoco.test_images": "360",
    },
    "host": "a-machine",
    "pid": 1,
    "started": "0",
}


def write_ablation(
    folder: Path,
    text: str = ABLATION,
    failed: tuple[str, ...] = (),
    score: Callable[[Cell, int], float] | None = None,
    images: int = 0,
    classes: int = 10,
) -> Path:
    """An ablation whose every trial has ended; `failed` are trial ids, `score(cell, seed)`.

    With `images` its completed trials have predictions of so many, of `classes` classes.
    """
    sweep = _begin(folder, text)
    spec = sweep.spec
    assert isinstance(spec, AblationSpec)
    draw = random.Random(0)
    events: list[dict[str, Any]] = [BEGUN]
    ledger = Ledger()
    tuning = open_tuning(sweep, spec, folder, ledger)
    for p in tuning:
        events += _trial(p.trial_id, p.values, p.cell, p.seed, draw.uniform(0.8, 0.9), p.phase)
    noise = {seed: draw.gauss(0, 0.01) for seed in spec.seeds}
    for number, cell in enumerate(spec.cells):
        for seed in spec.seeds:
            trial_id = f"{cell.slug}-s{seed}"
            drawn = 0.9 + 0.02 * (number % 2) + noise[seed] + draw.gauss(0, 0.003)
            scored = drawn if score is None else score(cell, seed)
            state = "failed" if trial_id in failed else "completed"
            events += _trial(trial_id, cell.values, cell.name, seed, scored, state=state)
    return _finish(folder, sweep, events, images, classes)


def write_search(folder: Path, text: str = SEARCH, trials: int = 40, images: int = 0) -> Path:
    """A search of completed, pruned and failed trials, the best of it confirmed."""
    sweep = _begin(folder, text)
    draw = random.Random(1)
    events: list[dict[str, Any]] = [BEGUN]
    for number in range(trials):
        values = {
            "method.temperature": 0.05 * 10 ** draw.random(),
            "method.queue_size": draw.choice([64, 128, 256]),
            "method.cross_consistency.weight": draw.choice([0, 10 ** draw.uniform(-2, 1)]),
        }
        score = 0.95 - abs(values["method.temperature"] - 0.1) + draw.gauss(0, 0.005)
        state = "failed" if number % 10 == 9 else "pruned" if number % 4 == 3 else "completed"
        events += _trial(f"t{number:03d}", values, "", 0, score, state=state)
    search = sweep.search
    assert search is not None
    against = search.confirm.against if search.confirm else {}
    for seed in (100, 101, 102):
        for rank, cell in enumerate(("default", "t000", "t001", *against)):
            score = 0.9 + 0.01 * rank + draw.gauss(0, 0.004)
            events += _trial(f"{cell}-s{seed}", against.get(cell, {}), cell, seed, score)
    return _finish(folder, sweep, events, images)


def write_repeats(folder: Path, proposals: int = 3) -> Path:
    """A search with three seeds a proposal: each worse than the one before, and then stopped."""
    text = SEARCH.replace("budget: {trials: 40}", f"budget: {{trials: {proposals}}}\nrepeats: 3")
    sweep = _begin(folder, text)
    events: list[dict[str, Any]] = [BEGUN]
    for number in range(proposals):
        name, values = f"t{number:03d}", {"method.temperature": 0.1 + number / 20}
        for repeat in range(2 if number else 3):
            about = {"proposal": name, "repeat": repeat, "repeats": 3}
            score = 0.9 - number / 10 + repeat / 100
            proposed, *rest = _trial(f"{name}-r{repeat}", values, "", repeat, score)
            events += [proposed | about, *rest]
        if number:
            about = {"trial_id": f"{name}-r1", "state": "pruned", "reason": "behind t000"}
            events.append({"event": "dropped", **about})
    return _finish(folder, sweep, events, 0)


def _begin(folder: Path, text: str) -> Sweep:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.yaml").write_text(text)
    return load_sweep(folder / "sweep.yaml")


def _trial(
    trial_id: str,
    values: Mapping[str, Any],
    cell: str,
    seed: int,
    score: float,
    phase: str = "",
    state: str = "completed",
) -> Iterator[dict[str, Any]]:
    epochs = {"completed": 5, "pruned": 2, "failed": 1}[state]
    reason = {"completed": "", "pruned": "a scheduler stopped it", "failed": "nan at epoch 2"}
    yield {
        "event": "proposed",
        "trial_id": trial_id,
        "values": values,
        "cell": cell,
        "seed": seed,
        "phase": phase,
        "config": "",
    }
    yield {"event": "assigned", "trial_id": trial_id, "attempt": 1, "gang": "g0", "time": 100.0}
    for epoch in range(1, epochs + 1):
        row = {
            "epoch": epoch,
            "train/loss": 5.0 - score - 0.1 * epoch,
            "eval/knn_top1": score - 0.02 * (5 - epoch),
            "perf/images_per_second": 4000 + 1000 * score,
            "train_seconds": 2.0 * epoch,
        }
        if epoch == 5:
            row |= {"test/knn_top1": score - 0.01, "test/linear_top1": score + 0.01}
        yield {"event": "report", "trial_id": trial_id, "row": row, "checkpoint": None}
    end = {"event": "ended", "trial_id": trial_id, "state": state, "reason": reason[state]}
    yield {**end, "time": 112.5}


def predict(folder: Path, trial_id: str, row: dict[str, Any], images: int, classes: int) -> None:
    """Write predictions of so many images, with the row's accuracies rounded to what they can be.

    Which images are hard is the same for all trials.
    """
    hard = np.random.default_rng(0).normal(size=images)
    own = np.random.default_rng(list(trial_id.encode()))
    labels = np.arange(images) % classes
    found = {}
    for name in ("eval/knn_top1", "test/knn_top1", "test/linear_top1"):
        right = round(min(row[name], 1) * images)
        row[name] = right / images
        predicted = labels.copy()
        wrong = np.argsort(hard + own.normal(0, 0.3, images))[right:]
        predicted[wrong] = (labels[wrong] + own.choice([1, 1, 1, 2], len(wrong))) % classes
        ids = np.array([f"image-{number}" for number in range(images)])
        found[name.removesuffix("_top1")] = Predictions(ids, labels, predicted)
    names = tuple(f"class {number}" for number in range(classes))
    write_predictions(SweepFolder(folder).predictions_of(trial_id), found, names)


def _finish(
    folder: Path, sweep: Sweep, events: Iterable[dict[str, Any]], images: int, classes: int = 10
) -> Path:
    ledger = Ledger()
    lines = []
    for number, event in enumerate(events):
        event = {"time": float(number), **event}
        if images and "test/knn_top1" in event.get("row", {}):
            predict(folder, event["trial_id"], event["row"], images, classes)
        ledger.apply(SWEEP_EVENTS.load(event))
        lines.append(json.dumps(event) + "\n")
    (folder / "journal.jsonl").write_text("".join(lines))
    write_trials(folder / "trials.csv", ledger, sweep.axes)
    return folder
