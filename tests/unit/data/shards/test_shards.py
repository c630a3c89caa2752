"""Shards hold what the source held, and anything wrong with them is noticed and named."""

import json
import multiprocessing
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raymoco.config import DataConfig
from raymoco.data.codec import decode, encode_png
from raymoco.data.shards import build as building
from raymoco.data.shards import ensure as shards_module
from raymoco.data.shards.contact_sheet import contact_sheet
from raymoco.data.shards.ensure import build_shards, ensure_shards
from raymoco.data.shards.inspection import describe_shards, verify_shards
from raymoco.data.shards.manifest import load_shards
from raymoco.data.shards.row_groups import read_slice, shard_slices
from raymoco.data.sources.open import open_source
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
    entries = list(source.entries())
    images = source.read([entry.place for entry in entries])
    expected = {e.id: (image, e.label) for e, image in zip(entries, images, strict=True)}
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
    assert shards.manifest.skipped == ("a/broken.png",)  # 0.1 took notes.txt for an image
    assert sum(shards.rows(split) for split in ("train", "eval", "test")) == 140


def test_a_folder_without_a_single_readable_image_is_refused(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "x.png").write_bytes(b"not a picture")
    source = open_source(DataConfig(source="folder", root=str(tmp_path / "in")))
    with pytest.raises(DataError, match=r"none of its 1 files.*a/x.png"):
        build_shards(source, tmp_path / "out", root=str(tmp_path / "in"))
    assert not (tmp_path / "out").exists()


def test_too_few_images_for_an_eval_split_are_refused(tmp_path):
    source = open_source(write_images(tmp_path / "in", per_class=1))
    with pytest.raises(DataError, match=r"none is left for the (eval|test) split"):
        build_shards(source, tmp_path / "out")


def test_formats_other_than_png_and_jpeg_are_stored_as_png(tmp_path):
    data = write_images(tmp_path / "in")
    color = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(color).save(tmp_path / "in" / "unlabelled" / "c.bmp")
    shards = build_shards(open_source(data), tmp_path / "out")
    rows = pq.read_table(shards.folder / "unlabelled/train-00000.parquet").to_pylist()
    stored = next(row["image"] for row in rows if row["id"] == "unlabelled/c.bmp")
    assert decode(stored).format == "PNG"
    assert (decode(stored).pixels == color.transpose(2, 0, 1)).all()
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


def test_a_killed_build_goes_on_with_the_shards_it_finished(tmp_path, monkeypatch):
    data = write_images(tmp_path / "in")
    whole = build_shards(open_source(data), tmp_path / "whole", shard_bytes=2000)
    build, done = building.build_shard, []

    def power_cut(job, **keys):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(job.path)
        return build(job, **keys)

    monkeypatch.setattr(building, "build_shard", power_cut)
    with pytest.raises(KeyboardInterrupt):
        build_shards(open_source(data), tmp_path / "out", shard_bytes=2000)
    assert not (tmp_path / "out").exists()
    again = []
    monkeypatch.setattr(
        building, "build_shard", lambda job, **keys: again.append(job.path) or build(job, **keys)
    )
    said = []
    found = build_shards(
        open_source(data), tmp_path / "out", shard_bytes=2000, progress=said.append
    )
    assert "4 of" in said[0]
    assert not set(again) & set(done)
    assert found.manifest.shards == whole.manifest.shards
    assert verify_shards(found.folder) == []
    assert sorted(path.name for path in found.folder.iterdir()) == [
        "labelled",
        "manifest.json",
        "unlabelled",
    ]
    assert list(tmp_path.glob(".*")) == []


def test_a_half_written_shard_of_a_killed_build_is_written_again(tmp_path, monkeypatch):
    data = write_images(tmp_path / "in")
    monkeypatch.setattr(shards_module, "publish", None)
    with pytest.raises(TypeError):
        build_shards(open_source(data), tmp_path / "out", shard_bytes=2000)
    victim = next((tmp_path / ".out.building" / "labelled").glob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-50])
    monkeypatch.undo()
    assert (
        verify_shards(build_shards(open_source(data), tmp_path / "out", shard_bytes=2000).folder)
        == []
    )


def test_a_source_that_changed_after_a_killed_build_is_built_anew(tmp_path, monkeypatch):
    data = write_images(tmp_path / "in")
    monkeypatch.setattr(shards_module, "publish", None)
    with pytest.raises(TypeError):
        build_shards(open_source(data), tmp_path / "out")
    monkeypatch.undo()
    (tmp_path / "in" / "a" / "000.png").unlink()
    found = build_shards(open_source(data), tmp_path / "out")
    assert sum(found.rows(split) for split in ("train", "eval", "test")) == 139


def _build(root, output, told):
    told.put(ensure_shards(DataConfig(source="folder", root=root), Path(output)).manifest.shards)


def test_two_builds_of_one_source_at_once_give_one_folder(tmp_path):
    write_images(tmp_path / "in")
    spawn = multiprocessing.get_context("fork")
    told = spawn.Queue()
    arguments = (str(tmp_path / "in"), str(tmp_path / "runs"), told)
    pair = [spawn.Process(target=_build, args=arguments) for _ in range(2)]
    for process in pair:
        process.start()
    found = [told.get(timeout=300) for _ in pair]
    for process in pair:
        process.join(10)
    assert found[0] == found[1]
    folder = shards_module.shards_folder(
        DataConfig(source="folder", root=str(tmp_path / "in")), tmp_path / "runs"
    )
    assert list((tmp_path / "runs" / "shards").iterdir()) == [folder]
    assert verify_shards(folder) == []


def test_strict_refuses_corrupt_images_and_names_them(tmp_path):
    data = write_images(tmp_path / "in")
    for i in range(12):
        (tmp_path / "in/a" / f"bad{i:02d}.png").write_text("no image")
    with pytest.raises(DataError, match=r"12 images cannot be decoded: a/bad00.png.* and 2 more"):
        ensure_shards(data, tmp_path / "runs", strict=True)
    said = []
    shards = ensure_shards(data, tmp_path / "runs", said.append)
    assert "12 left out as corrupt" in said[-1]
    assert len(shards.manifest.skipped) == 12
    shown = dict(describe_shards(shards).lines())["corrupt"]
    assert shown == "12 not a whole image (a/bad00.png, a/bad01.png, ...)"
    with pytest.raises(DataError, match=r"12 images cannot be decoded"):
        ensure_shards(data, tmp_path / "runs", strict=True)


def test_images_are_encoded_again_only_if_asked_and_only_large_ones(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in" / "a").mkdir(parents=True)
    for i in range(40):
        side = 20 if i % 2 else 60
        image = Image.fromarray(rng.integers(0, 256, (side, 2 * side, 3), dtype=np.uint8))
        image.save(tmp_path / "in" / "a" / f"{i}.{'jpg' if i % 4 < 2 else 'png'}")
    data = DataConfig(source="folder", root=str(tmp_path / "in"))
    shards = ensure_shards(data, tmp_path / "runs", size=30)
    assert shards.manifest.size == 30
    for shard in shards.manifest.shards:
        for row in pq.read_table(shards.folder / shard.path).to_pylist():
            original = (tmp_path / "in" / row["id"]).read_bytes()
            stored = decode(row["image"])
            assert stored.format == decode(original).format
            if int(Path(row["id"]).stem) % 2:
                assert row["image"] == original
            else:
                assert stored.pixels.shape == (3, 30, 60)
    assert ensure_shards(data, tmp_path / "runs") == shards
    with pytest.raises(DataError, match=r"of 30 pixels at the short side, not of 40 pixels"):
        ensure_shards(data, tmp_path / "runs", size=40)


def test_progress_counts_to_all_images(tmp_path):
    counts = []
    source = open_source(write_images(tmp_path / "in"))
    build_shards(
        source, tmp_path / "out", shard_bytes=2000, advance=lambda *now: counts.append(now)
    )
    assert counts[-1] == (140, 140)
    assert counts == sorted(counts)
    assert len(counts) > 5


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
    group_slice = shard_slices(shards.folder, shard)[0]
    expected = read_slice(group_slice, 1, 8)
    noticed = []
    for place in range(0, len(content), 11):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            found = read_slice(group_slice, 1, 8)
        except DataError as error:
            noticed.append(str(error))
        else:
            assert (found.images == expected.images).all()
            assert (found.labels == expected.labels).all()
    assert len(noticed) > len(content) / 11 / 2
    assert all(str(path) in message for message in noticed)


def test_a_manifest_of_another_version_is_refused(tmp_path):
    folder = build_shards(open_source(write_images(tmp_path / "in")), tmp_path / "out").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 9}))
    with pytest.raises(DataError, match=r"manifest.json: schema_version is 9.*delete"):
        load_shards(folder)


def test_another_shard_in_the_place_of_one_is_noticed(tmp_path):
    shards = build_shards(
        open_source(write_images(tmp_path / "in")), tmp_path / "out", shard_bytes=2000
    )
    one, other = shards.shards("train")[:2]
    group_slice = shard_slices(shards.folder, one)[0]
    content = (shards.folder / other.path).read_bytes()
    for found in (content, content[: one.bytes].ljust(one.bytes, b"\0")):
        (shards.folder / one.path).write_bytes(found)
        with pytest.raises(DataError, match=f"{one.path}: the shard is damaged"):
            read_slice(group_slice, 1, 8)
    # of the right size, and whole: only its own metadata tell
    (shards.folder / one.path).write_bytes(content)
    with pytest.raises(DataError, match=r"another file has taken its place"):
        read_slice(replace(group_slice, bytes=other.bytes), 1, 8)


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


def test_the_build_tells_its_speed(tmp_path):
    said = []
    build_shards(open_source(write_images(tmp_path / "in")), tmp_path / "out", progress=said.append)
    assert any(re.search(r"140 images .* in \d+\.\d s, [\d,]+ images/s", line) for line in said)
