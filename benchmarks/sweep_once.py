"""One sweep of either kind, in a process of its own: `python -m benchmarks.sweep_once ...`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

BEGAN = time.time()

import ray  # noqa: E402 - the start counts

from raymoco.engine.cluster import WORKER_ENV  # noqa: E402

EPOCHS = 5
FILE = """\
kind: search
name: bench
run:
  preset: digits
  data: {{limit: 300, labelled_fraction: 0.1}}
  model: {{width: 4}}
  optim: {{batch_size: 64}}
  method: {{queue_size: 32}}
  epochs: {epochs}
search:
  method.temperature: {{loguniform: [0.05, 0.5]}}
sampler: {{name: random}}
scheduler: {{name: {scheduler}, grace_epochs: 1, reduction_factor: 2}}
budget: {{trials: {trials}, concurrent: 2}}
tracking: {{uri: none}}
output: {output}
"""


def main() -> None:
    """KIND TRIALS FOLDER [early]; what was measured goes to FOLDER/found.json."""
    kind, trials, folder, early = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    os.environ.update({key: os.environ.get(key, value) for key, value in WORKER_ENV.items()})
    ray.init(
        "local",
        num_cpus=3,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=300 * 2**20,
        runtime_env={"env_vars": WORKER_ENV},
    )
    file = folder / "bench.yaml"
    scheduler = "asha" if early else "none"
    file.write_text(FILE.format(epochs=EPOCHS, scheduler=scheduler, trials=trials, output=folder))
    found = (_warm if kind == "warm" else _documented)(file, trials, folder, bool(early))
    time.sleep(3)
    found |= {"began": BEGAN, **_left()}
    (folder / "found.json").write_text(json.dumps(found))
    ray.shutdown()


def _warm(file: Path, trials: int, folder: Path, early: bool) -> dict[str, Any]:
    from raymoco.study.journal.ledger import load_ledger
    from raymoco.study.launch import sweep

    sweep(str(file))
    ended = load_ledger(folder / "bench" / "journal.jsonl").all()
    return {
        "first_start": min(trial.began or 0 for trial in ended),
        "ends": sorted(trial.ended or 0 for trial in ended),
        "train_seconds": [float(trial.final["train_seconds"]) for trial in ended],
        "stopped": sum(trial.state == "pruned" for trial in ended),
    }


def _documented(file: Path, trials: int, folder: Path, early: bool) -> dict[str, Any]:
    """A TorchTrainer inside each Tune trial, as Ray's guide on Train and Tune has it."""
    import ray.train
    from ray import tune
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback
    from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

    from raymoco.engine.train import prepare_run
    from raymoco.study.sweepfile.load import load_sweep

    config, handle = prepare_run(load_sweep(file).base, folder, lambda line: None)
    boxed = ray.put(handle)

    def train_loop(loop_config: dict[str, Any]) -> None:
        from raymoco.engine.loop import run_loop
        from raymoco.engine.ray_train import worker_session

        session = worker_session(folder / "checkpoints" / loop_config["trial"], 1)

        def on_report(row: dict[str, Any], checkpoint: str | None) -> bool:
            ray.train.report({**row, "started": loop_config["started"]})
            return False

        session.on_report = on_report
        run = config.with_values({"method.temperature": loop_config["temperature"]})
        run_loop(run, ray.get(loop_config["images"][0]), session)

    def train_driver(driver_config: dict[str, Any]) -> None:
        name = tune.get_context().get_trial_id()
        TorchTrainer(
            train_loop,
            train_loop_config={
                "temperature": driver_config["temperature"],
                "images": [boxed],
                "trial": name,
                "started": time.time(),
            },
            scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
            run_config=ray.train.RunConfig(
                name=name,
                storage_path=str(folder / "train"),
                callbacks=[TuneReportCallback()],
            ),
        ).fit()

    scheduler: Any = FIFOScheduler()
    if early:
        scheduler = AsyncHyperBandScheduler(
            time_attr="epoch", max_t=EPOCHS, grace_period=1, reduction_factor=2,
            metric="eval/knn_top1", mode="max",
        )  # fmt: skip
    results = tune.Tuner(
        tune.with_resources(train_driver, {"CPU": 0.01}),
        param_space={"temperature": tune.loguniform(0.05, 0.5)},
        tune_config=tune.TuneConfig(
            num_samples=trials, max_concurrent_trials=2, scheduler=scheduler
        ),
        run_config=tune.RunConfig(name="tune", storage_path=str(folder), verbose=0),
    ).fit()
    rows = [one.metrics for one in results if one.metrics and "epoch" in one.metrics]
    return {
        "first_start": min(row["started"] for row in rows),
        "ends": sorted(float(row["timestamp"]) for row in rows),
        "train_seconds": [float(row["train_seconds"]) for row in rows],
        "stopped": sum(row["epoch"] < EPOCHS for row in rows),
    }


def _left() -> dict[str, Any]:
    """What the cluster still holds."""
    import psutil
    from ray.util.placement_group import placement_group_table

    total, free = ray.cluster_resources()["CPU"], ray.available_resources().get("CPU", 0.0)
    groups = [one for one in placement_group_table().values() if one["state"] == "CREATED"]
    below = psutil.Process().children(recursive=True)
    training = [
        one for one in below if one.is_running() and "RayTrainWorker" in " ".join(one.cmdline())
    ]
    return {
        "held": total - free,
        "placement_groups": len(groups),
        "training": len(training),
    }


if __name__ == "__main__":
    main()
