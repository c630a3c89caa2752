"""One range of values for all images of more than 8 bits, however the shards are built."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raymoco.config import DataConfig
from raymoco.config.presets import load_run_config
from raymoco.data.codec import decode
from raymoco.data.shards import build as building
from raymoco.data.shards.ensure import build_shards, ensure_shards, shards_folder
from raymoco.data.shards.manifest import load_shards
from raymoco.data.sources.open import open_source
from raymoco.errors import ConfigError, DataError


def write(root, values, suffix="png", per_class=30):
    """Images of single values: the first of all is 0, the last is the greatest."""
    for number, name in enumerate("ab"):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            value = values(number * per_class + i, 2 * per_class)
            image = np.full((8, 8), value) if np.isscalar(value) else value
            Image.fromarray(image).save(root / name / f"{i:03d}.{suffix}")
    return open_source(DataConfig(source="folder", root=str(root)))


def twelve_bits(i, count):
    return np.uint16(4095 * i // (count - 1))


def floats(i, count):
    return np.float32(i / (count - 1) - 0.5)


def stored(shards):
    rows = (pq.read_table(shards.folder / s.path).to_pylist() for s in shards.manifest.shards)
    return {row["id"]: decode(row["image"]).pixels for table in rows for row in table}


@pytest.mark.parametrize(("values", "suffix"), [(twelve_bits, "png"), (floats, "tif")])
def test_the_range_of_the_whole_data_set_becomes_0_to_255(tmp_path, values, suffix):
    source, said = write(tmp_path / "in", values, suffix), []
    shards = build_shards(source, tmp_path / "out", shard_bytes=2000, progress=said.append)
    found = stored(shards)
    assert len(shards.manifest.shards) > 3
    assert (found[f"a/000.{suffix}"] == 0).all()
    assert (found[f"b/029.{suffix}"] == 255).all()
    middle = np.concatenate([pixels.ravel() for pixels in found.values()])
    assert 120 < middle.mean() < 135
    assert shards.manifest.value_range == (float(values(0, 60)), float(values(59, 60)))
    (remark,) = shards.manifest.remarks
    assert (remark.kind, remark.count) == ("changed", 60)
    assert any("these become 0 to 255" in line for line in said)


def test_a_given_range_is_used_and_names_a_folder_of_its_own(tmp_path):
    write(tmp_path / "in", twelve_bits)
    data = DataConfig(source="folder", root=str(tmp_path / "in"), value_range=(0, 8190))
    shards = ensure_shards(data, tmp_path)
    assert (stored(shards)["b/029.png"] == 128).all()
    assert shards.manifest.value_range == (0, 8190)
    auto = data.model_copy(update={"value_range": "auto"})
    assert shards_folder(auto, tmp_path) != shards.folder


def test_images_of_8_bits_are_never_rescaled(tmp_path):
    source = write(tmp_path / "in", lambda i, n: np.uint8(100) if i % 2 else twelve_bits(i, n))
    shards = build_shards(source, tmp_path / "out", duplicates="keep")  # half of them are alike
    assert (stored(shards)["a/001.png"] == 100).all()
    (remark,) = (one for one in shards.manifest.remarks if one.kind == "changed")
    assert remark.count == 30
    plain = build_shards(write(tmp_path / "in8", lambda i, n: np.uint8(i)), tmp_path / "out8")
    assert plain.manifest.value_range is None
    assert plain.manifest.remarks == ()


def test_a_killed_build_ends_with_the_same_bytes(tmp_path, monkeypatch):
    source = write(tmp_path / "in", twelve_bits)
    whole = build_shards(source, tmp_path / "whole", shard_bytes=2000)
    one, jobs, left = building.build_shard, len(whole.manifest.shards), []

    def dies(*args, **keywords):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return one(*args, **keywords)

    monkeypatch.setattr(building, "build_shard", dies)
    for allowed in (2, jobs):  # it dies in the first round, then in the second
        left[:] = [1] * allowed
        with pytest.raises(KeyboardInterrupt):
            build_shards(source, tmp_path / "cut", shard_bytes=2000)
    monkeypatch.undo()
    cut = build_shards(source, tmp_path / "cut", shard_bytes=2000)
    assert [s.sha256 for s in cut.manifest.shards] == [s.sha256 for s in whole.manifest.shards]


def test_images_of_one_value_are_refused_by_name(tmp_path):
    source = write(tmp_path / "in", lambda i, n: np.uint16(7))
    with pytest.raises(DataError, match=r"such as a/000.png, hold the one value 7.*value_range"):
        build_shards(source, tmp_path / "out")


def test_floats_beside_whole_numbers_are_refused_by_name(tmp_path):
    source = write(tmp_path / "in", lambda i, n: (floats, twelve_bits)[i % 2](i, n), "tif")
    with pytest.raises(DataError, match=r"a/000.tif.* and others whole numbers .*a/001.tif"):
        build_shards(source, tmp_path / "out")


def test_an_image_without_a_finite_number_is_corrupt(tmp_path):
    nan = np.float32("nan")
    source = write(tmp_path / "in", lambda i, n: nan if i == 3 else floats(i, n), "tif")
    shards = build_shards(source, tmp_path / "out")
    assert shards.manifest.skipped == ("a/003.tif",)


@pytest.mark.parametrize("wrong", ["[5, 5]", "[9, 1]", "[0, .inf]"])
def test_a_range_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match="value_range"):
        load_run_config("digits", [f"data.value_range={wrong}"])


def test_transparent_parts_are_filled_with_the_background_and_counted(tmp_path):
    clear = np.full((8, 8, 4), (9, 9, 9, 0), np.uint8)
    write(tmp_path / "in", lambda i, n: clear if i % 2 else np.uint8(3))
    root = str(tmp_path / "in")
    data = DataConfig(source="folder", root=root, background="black", duplicates="keep")
    shards = ensure_shards(data, tmp_path)
    (remark,) = (one for one in shards.manifest.remarks if one.kind == "changed")
    assert remark.line().startswith("changed: 30 had transparent parts, filled with black (a/001")
    assert shards.manifest.background == "black"
    assert (stored(shards)["a/001.png"] == 0).all()
    assert json.loads((shards.folder / "manifest.json").read_text())["value_range"] is None
    assert load_shards(shards.folder).manifest == shards.manifest
