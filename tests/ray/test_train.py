import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raymoco.config import load_run_config
from raymoco.engine.checkpoint import load_checkpoint
from raymoco.engine.metrics_csv import read_metrics
from raymoco.engine.run_events import RUN_EVENTS, EpochDone
from raymoco.event_log import Begun, Closed, read_journal
from tests.live_sweeps import wait_until
from tests.small import small_words

RUN = small_words(tracking__uri="none")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = (folder / "checkpoints").glob("*.pt")
    return load_checkpoint(path).module


def assert_equal_runs(a: Path, b: Path) -> None:
    left, right = weights(a), weights(b)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    predicted = [(folder / "predictions.npz").read_bytes() for folder in (a, b)]
    assert predicted[0] == predicted[1]
    timed = ("perf/", "train_seconds")
    for one, other in zip(
        read_metrics(a / "metrics.csv"), read_metrics(b / "metrics.csv"), strict=True
    ):
        assert {k: v for k, v in one.items() if not k.startswith(timed)} == {
            k: v for k, v in other.items() if not k.startswith(timed)
        }


@pytest.fixture(scope="module")
def undisturbed(raymoco, tmp_path_factory):
    output = tmp_path_factory.mktemp("train")
    done = raymoco(*RUN, "epochs=6", f"output={output}", "name=whole")
    assert done.returncode == 0, done.stderr
    return output / "whole", done


def test_a_run_leaves_its_config_metrics_log_and_checkpoint(undisturbed):
    folder, done = undisturbed
    rows = read_metrics(folder / "metrics.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {"train/loss", "eval/knn_top1", "perf/images_per_second", "perf/data_wait"} <= set(
        rows[0]
    )
    assert {"test/knn_top1", "test/linear_top1", "test/linear_top5"} <= set(rows[-1])
    assert "precision: auto" not in (folder / "config.yaml").read_text()
    assert "visible labels" in (folder / "log.txt").read_text()
    assert "epoch 6/6" in done.stdout
    told, _, trained = done.stdout.partition("epoch 1/6")
    assert "of its first weights are left at the end" in told
    assert told.count("warning: ") == 1
    assert "warning: " not in trained
    assert "Traceback" not in done.stdout + done.stderr


def test_a_killed_and_resumed_run_has_the_weights_of_one_never_killed(
    raymoco, head, undisturbed, tmp_path
):
    command = [sys.executable, "-m", "raymoco", *RUN, "epochs=6", f"output={tmp_path}", "name=cut"]
    process = subprocess.Popen(
        command,
        env={**head.environment, "RAY_ADDRESS": head.address},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    checkpoints = tmp_path / "cut" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("epoch-0000[2-6].pt")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    done = raymoco(*RUN, "epochs=6", f"output={tmp_path}", "name=cut", "--resume")
    assert done.returncode == 0, done.stderr
    assert "resumed after epoch" in (tmp_path / "cut" / "log.txt").read_text()
    assert_equal_runs(tmp_path / "cut", undisturbed[0])


def begin(head, output: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "raymoco", *RUN, f"output={output}", "name=twice", *words]
    return subprocess.Popen(
        command,
        env={**head.environment, "RAY_ADDRESS": head.address},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_two_trainings_of_one_name_at_once_one_is_refused_and_the_other_loses_nothing(
    head, tmp_path
):
    both = [begin(head, tmp_path, "epochs=40") for _ in range(2)]
    said = [process.communicate(timeout=200)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], said
    (refused,) = [text for text in said if text]
    assert refused.count("\n") == 1
    assert "another process is running this run" in refused or "exists already" in refused
    events = read_journal(tmp_path / "twice" / "journal.jsonl", RUN_EVENTS)
    reported = [event.row["epoch"] for event in events if isinstance(event, EpochDone)]
    assert reported == list(range(1, 41))
    assert [type(e) for e in events if not isinstance(e, EpochDone)] == [Begun, Closed]
    assert [row["epoch"] for row in read_metrics(tmp_path / "twice" / "metrics.csv")] == reported


def test_nobody_goes_on_with_a_run_that_goes_on(head, raymoco, tmp_path):
    first = begin(head, tmp_path, "epochs=100000")
    journal = tmp_path / "twice" / "journal.jsonl"
    try:
        wait_until(lambda: len(read_journal(journal, RUN_EVENTS)) > 1, process=first)
        for resume in [(), ("--resume",)]:
            words = (f"output={tmp_path}", "name=twice", "epochs=100000", *resume)
            done = raymoco(*RUN, *words)
            assert done.returncode == 2
            assert done.stderr == f"error: {tmp_path}/twice: another process is running this run.\n"
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    assert [type(event) for event in read_journal(journal, RUN_EVENTS)].count(Begun) == 1


def test_two_workers_train_one_run_together(raymoco, tmp_path):
    done = raymoco(
        *RUN, "epochs=2", f"output={tmp_path}", "name=two", "scale.workers=2",
        "method.batch_norm=sync",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = read_metrics(tmp_path / "two" / "metrics.csv")
    assert len(rows) == 2
    assert 0 <= rows[-1]["test/knn_top1"] <= 1


def test_a_run_that_exists_is_not_overwritten(raymoco, undisturbed):
    folder, _ = undisturbed
    before = (folder / "metrics.csv").read_text()
    done = raymoco(*RUN, "epochs=6", f"output={folder.parent}", "name=whole")
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (folder / "metrics.csv").read_text() == before


def test_a_resume_with_another_config_is_refused_and_says_what_changed(raymoco, undisturbed):
    folder, _ = undisturbed
    done = raymoco(
        *RUN, "epochs=6", f"output={folder.parent}", "name=whole", "--resume", "optim.lr=0.5"
    )
    assert done.returncode == 2
    begun_with = load_run_config(folder / "config.yaml").optim.lr
    assert f"optim.lr: {begun_with} -> 0.5" in done.stderr


def test_evaluate_measures_again_what_the_run_measured(raymoco, undisturbed):
    folder, _ = undisturbed
    last = read_metrics(folder / "metrics.csv")[-1]
    done = raymoco("evaluate", str(folder))
    assert done.returncode == 0, done.stderr
    found = dict(line.split() for line in done.stdout.splitlines() if line.startswith("test/"))
    assert float(found["test/knn_top1"]) == pytest.approx(last["test/knn_top1"], abs=1e-3)


def test_a_layout_that_leaves_ray_data_no_cpu_is_refused_with_the_numbers(raymoco, tmp_path):
    done = raymoco(*RUN, f"output={tmp_path}", "scale.workers=4", "name=wide")
    assert done.returncode == 2
    assert "hold 4 of the cluster's 3 CPUs" in done.stderr
    assert not (tmp_path / "wide").exists()


def test_a_folder_of_images_trains_in_one_line_and_goes_on_from_its_run(raymoco, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(60):
            pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    words = ("epochs=2", "model.width=4", f"output={tmp_path}/o", "name=pets", "tracking.uri=none")
    done = raymoco("train", str(tmp_path / "pets"), *words)
    assert done.returncode == 0, done.stderr
    assert "120 images, about " in done.stdout
    assert " to train on; 2 classes; color, the shorter side 30 px" in done.stdout
    assert "method.queue_size 16" in done.stdout
    folder = tmp_path / "o" / "pets"
    assert "queue_size: 16" in (folder / "config.yaml").read_text()
    again = raymoco("train", str(folder))
    assert again.returncode == 2
    assert "Go on with --resume" in again.stderr
    assert raymoco("train", str(folder), "--resume").returncode == 0
