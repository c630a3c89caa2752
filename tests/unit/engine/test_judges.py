"""What few images can tell is told before a run starts, and what they cannot is no NaN."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from raymoco.config import RunConfig
from raymoco.data.codec import encode_png
from raymoco.data.loading.prepare import PreparedImages, load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.data.shards.manifest import SplitCounts
from raymoco.engine.check_choices import check_choices
from raymoco.engine.judges import check_judges, judges_fact, judges_warning, unmeasurable
from raymoco.engine.reach import binomial_reach
from raymoco.engine.resolve import resolve
from raymoco.errors import ConfigError, DataError
from tests.small import small_run
from tests.unit.engine.test_loop import run

BASE = small_run(eval__linear__epochs=5, epochs=1)


def write(root: Path, counts: dict[str, int]) -> Path:
    generator = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
            (root / name / f"{i}.png").write_bytes(encode_png(pixels))
    return root


def opened(root: Path, **values: object) -> tuple[RunConfig, PreparedImages]:
    changes = {"data.source": "folder", "data.root": str(root), "optim.batch_size": 32}
    changes |= {"method.queue_size": 16, "data.limit": None}
    changes |= {key.replace("__", "."): value for key, value in values.items()}
    config = BASE.with_values(changes)
    handle = load_images(config.data, ensure_shards(config.data, root.parent / "out"))
    return resolve(config, channels=1, train_images=handle.rows("train")), handle


def counted(handle: PreparedImages, **splits: dict[str, int]) -> PreparedImages:
    """The same images, but with other counts in their manifest."""
    counts = {
        split: SplitCounts(labelled=sum(each.values()), unlabelled=0, per_class=each)
        for split, each in splits.items()
    }
    manifest = handle.manifest.model_copy(update={"counts": {**handle.manifest.counts, **counts}})
    return PreparedImages(handle.folder, manifest, handle.image_size, handle.limit, handle.splits)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return opened(write(tmp_path_factory.mktemp("few") / "in", {"a": 16, "unlabelled": 100}))


@pytest.fixture(scope="module")
def enough(tmp_path_factory):
    root = write(tmp_path_factory.mktemp("many") / "in", {"a": 200, "b": 200})
    return opened(root, data__labelled_fraction=0.5)


def test_a_run_that_one_image_judges_writes_no_nan(few, tmp_path):
    config, handle = few
    assert handle.manifest.counts["eval"].labelled == 1
    row = run(config, handle, tmp_path)[1]
    json.dumps(row, allow_nan=False)
    assert all(math.isfinite(value) for value in row.values())
    assert "eval/uniformity" not in row
    assert {"eval/knn_top1", "test/knn_top1", "test/linear_top1"} <= set(row)


def test_what_one_image_cannot_tell_is_told_before(few):
    _, handle = few
    warning = judges_warning(handle.manifest)
    assert warning is not None
    assert "eval has 1 image: a top-1 of 0.5 is known to +-0.45" in warning
    assert "1 of 1 classes have fewer than 5 eval images (a 1)" in warning
    assert "eval/uniformity is left out: it needs two eval images" in warning
    assert unmeasurable(handle.manifest)


def test_nine_images_tell_an_accuracy_to_a_quarter(enough):
    handle = counted(enough[1], eval={"a": 4, "b": 5})
    warning = judges_warning(handle.manifest)
    assert warning is not None
    assert "eval has 9 images: a top-1 of 0.5 is known to +-0.27, one of 0.9 to +-0.20" in warning
    assert "1 of 2 classes have fewer than 5 eval images (a 4)" in warning


def test_enough_images_give_a_fact_and_no_warning(enough):
    manifest = counted(enough[1], eval={"a": 100, "b": 48}, test={"a": 70, "b": 90}).manifest
    assert judges_warning(manifest) is None
    assert binomial_reach(0.8, 148) == pytest.approx(0.064, abs=1e-3)
    assert judges_fact(manifest) == (
        "judged by",
        "148 eval images (48 to 100 a class): a top-1 of 0.8 is known to +-0.064; "
        "160 test images (70 to 90 a class): a top-1 of 0.8 is known to +-0.062",
    )


def test_a_class_without_images_to_judge_or_to_learn_is_named(enough):
    handle = counted(enough[1], test={"a": 90, "b": 0}, train={"a": 200, "b": 0})
    warning = judges_warning(handle.manifest)
    assert warning is not None
    assert "fewer than 5 test images (b 0)" in warning
    assert "no labeled training image of b" in warning


def test_a_test_set_without_labels_is_told_and_not_measured(enough, tmp_path):
    config, handle = enough
    handle = counted(handle, test={"a": 0, "b": 0})
    assert "test has no labeled image: nothing is measured on it" in (
        judges_warning(handle.manifest) or ""
    )
    row = run(config, handle, tmp_path)[1]
    assert "eval/knn_top1" in row
    assert not [name for name in row if name.startswith("test/")]


def test_eval_images_without_labels_are_refused_before_the_run(enough):
    config, handle = enough
    with pytest.raises(DataError, match=r"none of the \d+ eval images in .* has a label"):
        check_judges(config, counted(handle, eval={"a": 0, "b": 0}))


def test_visible_labels_that_are_none_are_refused_before_anything_starts(enough, tmp_path):
    config, handle = enough
    visible = config.with_values({"eval.labels": "visible"})
    check_judges(visible, handle)
    with pytest.raises(ConfigError, match=r"eval.labels is visible, but data.labelled_fraction is"):
        check_choices(visible.with_values({"data.labelled_fraction": 0, "method.loss": "info_nce"}))
    (tmp_path / "list.txt").write_text("\n")
    empty = {"data.labelled_list": str(tmp_path / "list.txt"), "method.loss": "info_nce"}
    with pytest.raises(DataError, match=r"eval.labels is visible, but no training image"):
        check_judges(visible.with_values(empty), handle)
    check_judges(config.with_values(empty), handle)


def test_a_list_of_unknown_names_is_refused_before_the_run(enough, tmp_path):
    config, handle = enough
    (tmp_path / "list.txt").write_text("nobody.png\n")
    with pytest.raises(DataError, match=r"the first is 'nobody.png'"):
        check_judges(config.with_values({"data.labelled_list": str(tmp_path / "list.txt")}), handle)
