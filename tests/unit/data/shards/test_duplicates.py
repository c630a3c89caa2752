"""Exact copies across the splits are found by their pixels, told, and left out of training."""

import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raymoco.config import DataConfig
from raymoco.data.codec import encode_png
from raymoco.data.shards import left_out
from raymoco.data.shards.duplicates import digest_of
from raymoco.data.shards.ensure import build_shards
from raymoco.data.shards.manifest import SPLITS, ShardSet
from raymoco.data.sources.open import open_source


def pixels_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(pixels_of(seed)))


@pytest.fixture
def root(tmp_path):
    """train/ and test/ with two classes of different images."""
    for number, name in enumerate("ab"):
        for i in range(30):
            write(tmp_path / "in" / "train" / name / f"{i}.png", 100 * number + i)
        for i in range(5):
            write(tmp_path / "in" / "test" / name / f"{i}.png", 1000 + 100 * number + i)
    return tmp_path / "in"


def build(root: Path, name: str = "out", **keys) -> ShardSet:
    source = open_source(DataConfig(source="folder", root=str(root)))
    return build_shards(source, root.parent / name, parallel=False, **keys)


def ids(shards: ShardSet) -> dict[str, str]:
    return {
        row["id"]: shard.split
        for shard in shards.manifest.shards
        for row in pq.read_table(shards.folder / shard.path).to_pylist()
    }


def remarks(shards: ShardSet) -> list[str]:
    return [remark.line() for remark in shards.manifest.remarks]


def in_eval(shards: ShardSet) -> str:
    return min(name for name, split in ids(shards).items() if split == "eval")


def test_a_set_without_copies_has_no_remark_on_them(root):
    shards = build(root)
    assert remarks(shards) == []
    assert len(ids(shards)) == 70


def test_copies_of_test_images_leave_training_labeled_or_not(root):
    shutil.copy(root / "test/a/0.png", root / "train/a/copy.png")
    (root / "unlabelled").mkdir()
    shutil.copy(root / "test/a/1.png", root / "unlabelled/loose.png")
    shards = build(root)
    assert not {"train/a/copy.png", "unlabelled/loose.png"} & set(ids(shards))
    assert remarks(shards) == [
        "left out: 2 of train that are also in test (train/a/copy.png, unlabelled/loose.png)"
    ]
    assert shards.rows("train") + shards.rows("eval") == 60
    assert sum(shard.rows for shard in shards.manifest.shards) == 70
    assert not list((shards.folder / "unlabelled").glob("*"))


def test_a_png_that_was_written_again_or_as_color_is_a_copy(root):
    again = Image.fromarray(pixels_of(1000))
    again.save(root / "train/a/again.bmp")
    stream = io.BytesIO()
    again.save(stream, "PNG", compress_level=9, dpi=(72, 72))
    (root / "train/b/again.png").write_bytes(stream.getvalue())
    found = remarks(build(root))
    assert "left out: 2 of train that are also in test (train/a/again.bmp, train/b/again.png)" in (
        found
    )
    gray = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    assert digest_of(gray) == digest_of(np.repeat(gray, 3, 0))
    assert digest_of(gray) != digest_of(gray.reshape(1, 4, 16))


def test_an_eval_image_that_is_also_a_test_image_leaves_eval(root):
    judged = in_eval(build(root))
    shutil.copy(root / judged, root / "test/b/copy.png")
    shards = build(root, "again")
    assert judged not in ids(shards)
    assert f"left out: 1 of eval that are also in test ({judged})" in remarks(shards)
    assert ids(shards)["test/b/copy.png"] == "test"


def test_copies_of_eval_images_leave_training(root):
    judged = in_eval(build(root))
    for i in range(9):  # some of them are eval images by their names
        shutil.copy(root / judged, root / f"train/b/copy{i}.png")
    shards = build(root, "again")
    found = ids(shards)
    assert {found.get(f"train/b/copy{i}.png") for i in range(9)} <= {None, "eval"}
    assert any("of train that are also in eval" in line for line in remarks(shards))


def test_kept_copies_are_told(root):
    shutil.copy(root / "test/a/0.png", root / "train/a/copy.png")
    shards = build(root, duplicates="keep")
    assert ids(shards)["train/a/copy.png"] in ("train", "eval")
    assert remarks(shards)[0].startswith("understood: 1 of ")
    assert remarks(shards)[0].endswith(
        "also in test, and stay: data.duplicates is keep (train/a/copy.png)"
    )


def test_copies_within_training_stay_and_those_with_another_label_are_told_apart(root):
    write(root / "train/a/30.png", 5000)
    write(root / "train/a/31.png", 5000)
    write(root / "train/b/30.png", 6000)
    write(root / "train/a/32.png", 6000)
    shards = build(root)
    assert len(ids(shards)) == 74 - sum("left out" in line for line in remarks(shards))
    conflicts = [line for line in remarks(shards) if "with another label" in line]
    assert conflicts == [
        "understood: 2 have copies with another label (train/a/32.png, train/b/30.png)"
    ]
    stay = [r.count for r in shards.manifest.remarks if "copies of others there" in r.reason]
    assert sum(stay) == 2


def test_a_test_set_that_is_the_training_set_is_told_and_not_thrown_away(root):
    shutil.rmtree(root / "test")
    shutil.copytree(root / "train", root / "test")
    shards = build(root)
    assert all(shards.rows(split) for split in SPLITS)
    lines = remarks(shards)
    assert any("of train that are also in test, and stay: train would be" in x for x in lines)
    assert any("of eval that are also in test, and stay: eval would be" in x for x in lines)


def test_statistics_are_those_of_the_images_that_are_left(root):
    shutil.copy(root / "test/a/0.png", root / "train/a/copy.png")
    with_copy = build(root, shard_bytes=2000)
    (root / "train/a/copy.png").unlink()
    without = build(root, "again", shard_bytes=2000)
    assert [shard.content for shard in with_copy.manifest.shards] == [
        shard.content for shard in without.manifest.shards
    ]
    for key in ("mean", "std", "counts", "image"):
        assert getattr(with_copy.manifest, key) == getattr(without.manifest, key)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_build_killed_while_it_leaves_copies_out_gives_the_same_bytes(root, monkeypatch, after):
    for i in range(4):
        shutil.copy(root / f"test/a/{i}.png", root / f"train/b/copy{i}.png")
    whole = build(root, shard_bytes=2000)
    write_note, written = left_out.write_atomically, []

    def power_cut(path, text):
        if len(written) == after:
            raise KeyboardInterrupt
        written.append(path)
        write_note(path, text)

    monkeypatch.setattr(left_out, "write_atomically", power_cut)
    with pytest.raises(KeyboardInterrupt):
        build(root, "again", shard_bytes=2000)
    monkeypatch.undo()
    found = build(root, "again", shard_bytes=2000)
    assert found.manifest.shards == whole.manifest.shards
    assert found.manifest.remarks == whole.manifest.remarks
    assert found.manifest.mean == whole.manifest.mean
