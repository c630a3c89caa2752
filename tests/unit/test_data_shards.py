"""Shards hold what the source held, and anything wrong with them is noticed and named."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raymoco.config import DataConfig
from raymoco.data import shards as shards_module
from raymoco.data.codec import decode, encode_png
from raymoco.data.pieces import read_piece, shard_pieces
from raymoco.data.shards import (
    build_shards,
    contact_sheet,
    describe_shards,
    ensure_shards,
    load_shards,
    verify_shards,
)
from raymoco.data.sources import open_source
from raymoco.errors import DataError


def write_images(root: Path, per_class: int = 60, unlabelled: int = 20) -> DataConfig:
    rng = np.random.default_rng(0)
    for name, count in (("a", per_class), ("b", per_class), ("unlabelled", unlabelled)):
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            (root / name / f"{i:03d}.png").write_bytes(encode_png(pixels))
    return DataConfig(source="folder", root=str(root))


def test_every_image_is_in_one_split_byte_for_byte(tmp_path):
    data = write_images(tmp_path / "in")
    source = open_source(data)
    shards = build_shards(source, tmp_path / "out", shard_bytes=2000)
    expected = {r.id: (r.image, r.label) for r in source.records()}
    stored = {}
    for shard in shards.manifest.shards:
        assert shard.path.startswith("labelled/" if shard.labelled else "unlabelled/")
        for row in pq.read_table(shards.folder / shard.path).to_pylist():
            assert row["id"] not in stored
            stored[row["id"]] = (row["image"], row["label"])
    assert stored == expected
    assert len(shards.shards("train")) > 3
    assert sum(shards.rows(split) for split in ("train", "eval", "test")) == len(expected)
    assert 0 < shards.rows("eval") < 0.25 * shards.rows("train")
    assert verify_shards(shards.folder) == []


def test_class_folders_do_not_become_class_shards(tmp_path):
    shards = build_shards(
        open_source(write_images(tmp_path / "in")), tmp_path / "out", shard_bytes=2000
    )
    first = pq.read_table(shards.folder / "labelled/train-00000.parquet").column("label")
    assert set(first.to_pylist()) == {0, 1}


def test_the_manifest_tells_counts_mean_and_spread(tmp_path):
    data = write_images(tmp_path / "in")
    shards = build_shards(open_source(data), tmp_path / "out")
    pixels, labels = [], []
    for shard in shards.shards("train"):
        for row in pq.read_table(shards.folder / shard.path).to_pylist():
            pixels.append(decode(row["image"]).pixels / 255)
            labels.append(row["label"])
    counts = shards.manifest.counts["train"]
    assert counts.per_class == {"a": labels.count(0), "b": labels.count(1)}
    assert (counts.labelled, counts.unlabelled) == (len(labels) - 20, 20)
    assert shards.manifest.mean == pytest.approx([np.mean(pixels)])
    assert shards.manifest.std == pytest.approx([np.std(pixels)])
    assert (shards.channels, shards.image_size, shards.classes) == (1, 8, ("a", "b"))
    report = describe_shards(shards)
    assert report.label_ratio == pytest.approx(counts.labelled / counts.rows)
    assert report.shards["train"] == 2


def test_an_image_that_cannot_be_decoded_is_left_out_and_listed(tmp_path):
    data = write_images(tmp_path / "in")
    good = (tmp_path / "in/a/000.png").read_bytes()
    (tmp_path / "in/a/broken.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "in/b/notes.txt").write_text("no image")
    shards = build_shards(open_source(data), tmp_path / "out")
    assert shards.manifest.skipped == ("a/broken.png", "b/notes.txt")
    assert sum(shards.rows(split) for split in ("train", "eval", "test")) == 140


def test_a_folder_without_a_single_readable_image_is_refused(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "x.png").write_bytes(b"not a picture")
    source = open_source(DataConfig(source="folder", root=str(tmp_path / "in")))
    with pytest.raises(DataError, match=r"none of its 1 files.*a/x.png"):
        build_shards(source, tmp_path / "out", root=str(tmp_path / "in"))
    assert list(tmp_path.glob("*")) == [tmp_path / "in"]


def test_too_few_images_for_an_eval_split_are_refused(tmp_path):
    source = open_source(write_images(tmp_path / "in", per_class=1))
    with pytest.raises(DataError, match=r"none is left for the (eval|test) split"):
        build_shards(source, tmp_path / "out")


def test_formats_other_than_png_and_jpeg_are_stored_as_png(tmp_path):
    data = write_images(tmp_path / "in")
    colour = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "in" / "unlabelled" / "c.bmp")
    shards = build_shards(open_source(data), tmp_path / "out")
    rows = pq.read_table(shards.folder / "unlabelled/train-00000.parquet").to_pylist()
    stored = next(row["image"] for row in rows if row["id"] == "unlabelled/c.bmp")
    assert decode(stored).format == "PNG"
    assert (decode(stored).pixels == colour.transpose(2, 0, 1)).all()
    assert shards.channels == 3
    assert len(shards.manifest.mean) == len(shards.manifest.std) == 3


def test_shards_are_built_once_and_reused(tmp_path, monkeypatch):
    data = write_images(tmp_path / "in")
    said = []
    built = ensure_shards(data, tmp_path / "runs", said.append)
    assert built.folder.parent == tmp_path / "runs" / "shards"
    assert "140 images" in said[-1]
    monkeypatch.setattr(shards_module, "build_shards", None)
    assert ensure_shards(data, tmp_path / "runs") == built


def test_a_changed_source_is_noticed(tmp_path):
    data = write_images(tmp_path / "in")
    built = ensure_shards(data, tmp_path / "runs")
    (tmp_path / "in" / "a" / "000.png").unlink()
    with pytest.raises(DataError, match=f"has changed since .*Delete {built.folder}"):
        ensure_shards(data, tmp_path / "runs")


def test_a_build_that_dies_leaves_nothing_half_made(tmp_path, monkeypatch):
    data = write_images(tmp_path / "in")

    def power_cut(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shards_module, "write_atomically", power_cut)
    with pytest.raises(KeyboardInterrupt):
        ensure_shards(data, tmp_path / "runs")
    assert list((tmp_path / "runs" / "shards").iterdir()) == []


def test_the_rest_of_a_killed_build_is_removed_by_the_next(tmp_path):
    data = write_images(tmp_path / "in")
    folder = shards_module.shards_folder(data, tmp_path / "runs")
    left = shards_module._building_folder(folder)
    dead = left.with_name(left.name.rpartition("-")[0] + "-99999999")
    left.rename(dead)
    ensure_shards(data, tmp_path / "runs")
    assert list(folder.parent.iterdir()) == [folder]


def test_verify_names_the_shard_with_a_flipped_byte(tmp_path):
    shards = build_shards(
        open_source(write_images(tmp_path / "in")), tmp_path / "out", shard_bytes=2000
    )
    victim = shards.folder / shards.manifest.shards[2].path
    content = bytearray(victim.read_bytes())
    content[len(content) // 3] ^= 1
    victim.write_bytes(content)
    problems = verify_shards(shards.folder)
    assert len(problems) == 1
    assert str(victim) in problems[0]


def test_a_flipped_byte_never_gives_other_pixels(tmp_path):
    shards = build_shards(open_source(write_images(tmp_path / "in")), tmp_path / "out")
    shard = shards.shards("eval")[0]
    path = shards.folder / shard.path
    content = path.read_bytes()
    piece = shard_pieces(shards.folder, shard)[0]
    expected = read_piece(piece, 1, 8)
    noticed = []
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            found = read_piece(piece, 1, 8)
        except DataError as error:
            noticed.append(str(error))
        else:
            assert (found.images == expected.images).all()
            assert (found.labels == expected.labels).all()
    assert len(noticed) > len(content) / 7 / 2
    assert all(str(path) in message for message in noticed)


def test_a_manifest_of_another_version_is_refused(tmp_path):
    folder = build_shards(open_source(write_images(tmp_path / "in")), tmp_path / "out").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 9}))
    with pytest.raises(DataError, match=r"manifest.json: schema_version is 9.*delete"):
        load_shards(folder)


def test_a_missing_manifest_or_shard_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere/manifest.json: no such file"):
        load_shards(tmp_path / "nowhere")
    shards = build_shards(open_source(write_images(tmp_path / "in")), tmp_path / "out")
    (shards.folder / "labelled/eval-00000.parquet").unlink()
    with pytest.raises(DataError, match=r"eval-00000.parquet: no such shard"):
        load_shards(shards.folder)


def test_the_contact_sheet_shows_every_class(tmp_path):
    shards = build_shards(open_source(write_images(tmp_path / "in")), tmp_path / "out")
    contact_sheet(shards, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height >= 3 * 64  # two classes and the images without a label
        assert len(np.unique(np.asarray(sheet))) > 50
