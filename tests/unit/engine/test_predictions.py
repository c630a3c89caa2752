"""What a run predicted for each image: in a file before its last report, equal to its metrics."""

import numpy as np
import pytest

from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.checkpoint import find_checkpoint
from raymoco.engine.loop import run_loop
from raymoco.engine.predictions import (
    ARRAYS,
    Predictions,
    read_classes,
    read_predictions,
    write_predictions,
)
from raymoco.engine.session import Session, Stopped
from raymoco.errors import ConfigError, DataError
from raymoco.metrics import LISTED
from tests.unit.engine.somebodys_protocols import Keeps
from tests.unit.engine.test_loop import BASE, resolved

MEANS = f"{Keeps.__module__}:Keeps"
KEYS = ["eval/class_means", "eval/knn", "test/class_means", "test/knn", "test/linear"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return load_images(BASE.data, ensure_shards(BASE.data, tmp_path_factory.mktemp("shards")))


def run(images, folder, *, resume_from=None, stop_after=None, **values):
    """Train one; returns its last row, and whether the file was there at each report."""
    values = {"eval__protocols": ["knn", "linear", MEANS], "epochs": 2, **values}
    file = folder / "predictions.npz"
    rows, there = [], []

    def on_report(row, checkpoint):
        rows.append(row)
        there.append(file.exists())
        return row["epoch"] == stop_after

    session = Session(folder, on_report=on_report, predictions=file)
    try:
        run_loop(resolved(images, **values), images, session, resume_from)
    except Stopped:
        assert stop_after is not None
    return rows[-1], there


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, *run(images, folder)


def test_the_share_of_right_predictions_is_each_metric_of_one_class_exactly(finished):
    folder, row, _ = finished
    keys = {metric.removesuffix("_top1"): metric for metric in row if metric.endswith("_top1")}
    assert sorted(keys) == KEYS
    for key, metric in keys.items():
        found = read_predictions(folder / "predictions.npz", key)
        assert found.correct.mean() == row[metric], metric
        assert 0 < row[metric] <= 1


def test_the_file_says_of_each_judged_image_its_id_label_and_class(finished, images):
    folder, _, _ = finished
    with np.load(folder / "predictions.npz") as arrays:
        assert sorted(arrays.files) == sorted(
            ["classes", *(f"{key}/{name}" for key in KEYS for name in ARRAYS)]
        )
        assert arrays["test/knn/correct"].dtype == bool
    for split in ("eval", "test"):
        found = read_predictions(folder / "predictions.npz", f"{split}/knn")
        of = images.splits[split]
        assert found.ids.tolist() == [one.decode() for one in of.ids]
        assert found.labels.tolist() == of.labels.tolist()
        assert set(found.predicted.tolist()) <= set(range(10))
    assert read_classes(folder / "predictions.npz") == images.classes


def test_the_file_is_there_when_the_last_epoch_is_reported_and_not_before(finished):
    assert finished[2] == [False, True]


def test_a_run_that_was_killed_before_its_last_report_writes_the_same_file_again(
    finished, images, tmp_path
):
    run(images, tmp_path, stop_after=1)
    row, there = run(images, tmp_path, resume_from=find_checkpoint(tmp_path))
    assert there == [False, True]
    whole, before, _ = finished
    assert row["test/linear_top1"] == before["test/linear_top1"]
    file = "predictions.npz"
    assert (tmp_path / file).read_bytes() == (whole / file).read_bytes()


def test_a_run_that_no_protocol_keeps_predictions_of_leaves_no_file(images, tmp_path):
    run(images, tmp_path, eval__protocols=[])
    assert not (tmp_path / "predictions.npz").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("KeepsMore", r"keeps predictions of 'norm', but .* are class_means_top1"),
        ("KeepsFloats", "they are torch.float32, not a tensor of int64"),
        ("KeepsFewer", r"their shape is \(\d+,\), and that of the judged images is"),
        ("KeepsOthers", "they go from 0 to 10, and classes from 0 to 9"),
        ("KeepsWrong", "of them are right, and it reports"),
    ],
)
def test_predictions_that_cannot_be_the_metric_s_are_refused(images, tmp_path, name, words):
    with pytest.raises(ConfigError, match=words):
        run(images, tmp_path, eval__protocols=[f"{Keeps.__module__}:{name}"])


def some(count=5):
    labels = np.arange(count) % 3
    return Predictions(np.array([f"größe-{i}" for i in range(count)]), labels, labels * 0)


def test_what_is_not_there_is_none_and_what_is_damaged_is_named(tmp_path):
    file = tmp_path / "deep" / "p.npz"
    assert read_predictions(file, "test/knn") is None
    assert read_classes(file) == ()
    write_predictions(file, {"test/knn": some()}, ("a", "b", "c"))
    assert read_predictions(file, "test/linear") is None
    assert read_predictions(file, "test/knn").ids[0] == "größe-0"
    whole = file.read_bytes()
    for bad in (b"", b"text", whole[: len(whole) // 2]):
        file.write_bytes(bad)
        with pytest.raises(DataError, match=r"p.npz is damaged"):
            read_predictions(file, "test/knn")
    lost = {f"test/knn/{name}": np.zeros(3, np.int64) for name in ARRAYS}
    np.savez(file, **lost | {"test/knn/label": np.zeros(2, np.int64)})
    with pytest.raises(DataError, match="arrays of test/knn do not belong together"):
        read_predictions(file, "test/knn")
    np.savez(file, **lost | {"test/knn/correct": np.zeros(3, bool)})
    with pytest.raises(DataError, match="arrays of test/knn do not belong together"):
        read_predictions(file, "test/knn")


def test_only_metrics_of_one_class_on_a_judged_split_have_outcomes():
    assert {name: one.outcomes for name, one in LISTED.items() if one.outcomes} == {
        "eval/knn_top1": "eval/knn",
        "test/knn_top1": "test/knn",
        "test/linear_top1": "test/linear",
        "test/logreg_top1": "test/logreg",
    }
