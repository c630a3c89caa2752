"""Parquet files as people have them: labels of any type, images outside, files with odd names."""

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymoco.config import DataConfig
from raymoco.data.codec import decode, encode_png
from raymoco.data.shards.ensure import build_shards
from raymoco.data.sources.open import open_source
from raymoco.errors import DataError

BYTES_AND_PATH = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(value: int) -> bytes:
    return encode_png(np.full((5, 5), value, np.uint8))


def parquet(root: Path, labels, images=None, name: str = "train.parquet", **columns) -> Path:
    """A folder with a Parquet file: labels, a PNG for each, and more columns."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    if images is None:
        images = [png(i % 256) for i in range(len(labels))]
    pq.write_table(pa.table({"image": images, "label": labels, **columns}), root / name)
    return root


def opened(root: Path, **keys):
    return open_source(DataConfig(source="parquet", root=str(root), **keys))


def labels(root: Path) -> list[str | None]:
    source = opened(root)
    return [None if e.label is None else source.classes[e.label] for e in source.entries()]


def told(root: Path) -> str:
    return "\n".join(remark.line() for remark in opened(root).account().remarks())


@pytest.mark.parametrize("word", ["-1", "nan", "None", "", "?"])
def test_text_for_no_label_is_no_class(tmp_path, word):
    assert labels(parquet(tmp_path, [word, "1", "cat"])) == [None, "1", "cat"]


def test_numbers_with_gaps_are_classes_of_those_names(tmp_path):
    root = parquet(tmp_path, [10, 1_000_000_000, 20, -1])
    assert opened(root).classes == ("10", "20", "1000000000")
    assert labels(root) == ["10", "1000000000", "20", None]
    assert "3 classes of the names 10, 20, 1000000000" in told(root)
    assert opened(parquet(tmp_path, [0, 2, 1])).classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, float("nan"), 3.0], ["1", None, "3"]),
        ([True, False, None], ["true", "false", None]),
        (pa.array(["b", "a", None]).dictionary_encode(), ["b", "a", None]),
        (pa.array([0, 1, 2], pa.uint8()), ["0", "1", "2"]),
        (pa.array([None, None, None]), [None, None, None]),
    ],
)
def test_labels_of_other_types_are_understood(tmp_path, values, expected):
    assert labels(parquet(tmp_path, values)) == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[0, 2], [1]], "holds list<"),
        ([{"a": 1}, {"a": 2}], "holds struct<"),
        ([b"x", b"y"], "holds binary"),
        ([datetime.datetime(2020, 1, 1)] * 2, "holds timestamp"),
        ([0.25, 1.0], "holds 0.25"),
    ],
)
def test_what_is_no_class_is_refused_with_what_is_expected(tmp_path, values, words):
    with pytest.raises(DataError, match=f"the column 'label' {words}.* but must hold text, or"):
        opened(parquet(tmp_path, values))


def test_images_that_lie_outside_are_read_from_beside_the_file_or_the_root(tmp_path):
    root = tmp_path / "in"
    (root / "data" / "img").mkdir(parents=True)
    (root / "data" / "img" / "0.png").write_bytes(png(100))
    (root / "1.png").write_bytes(png(101))
    rows = [{"bytes": None, "path": "img/0.png"}, {"bytes": None, "path": "1.png"}]
    parquet(root, [0, 1], pa.array(rows, BYTES_AND_PATH), "data/train.parquet")
    source = opened(root)
    entries = list(source.entries())
    found = source.read([entry.place for entry in entries])
    assert [decode(image).pixels[0, 0, 0] for image in found] == [100, 101]
    assert [entry.bytes for entry in entries] == [len(png(100)), len(png(101))]
    before = source.fingerprint()
    (root / "1.png").write_bytes(png(7) + b"\0")
    assert opened(root).fingerprint() != before


def test_paths_of_no_file_are_refused_with_where_they_should_begin(tmp_path):
    rows = [{"bytes": None, "path": f"{i}.png"} for i in range(20)]
    root = parquet(tmp_path, [0] * 20, pa.array(rows, BYTES_AND_PATH))
    with pytest.raises(DataError, match=r"path '0.png' and no bytes, but that is no file in"):
        opened(root)


def test_a_path_of_no_file_among_others_is_counted_with_the_corrupt(tmp_path):
    rows = [{"bytes": None, "path": f"{i}.png"} for i in range(60)]
    root = parquet(tmp_path / "in", [i % 2 for i in range(60)], pa.array(rows, BYTES_AND_PATH))
    for i in range(1, 60):  # the first one is missing
        (root / f"{i}.png").write_bytes(png(i))
    manifest = build_shards(opened(root), tmp_path / "out", parallel=False).manifest
    corrupt = [remark.line() for remark in manifest.remarks if remark.kind == "corrupt"]
    assert corrupt == ["corrupt: 1 rows without bytes whose path is no file (train.parquet:0)"]


def test_rows_without_an_image_are_counted_as_corrupt(tmp_path):
    rows = [{"bytes": png(i), "path": "gone.png"} for i in range(60)]
    rows[3] = None
    rows[4] = {"bytes": None, "path": None}
    root = parquet(tmp_path / "in", [i % 2 for i in range(60)], pa.array(rows, BYTES_AND_PATH))
    manifest = build_shards(opened(root), tmp_path / "out", parallel=False).manifest
    assert manifest.skipped == ("train.parquet:3", "train.parquet:4")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (["a.png", "b.png"], r"holds string.*data.source=files"),
        ([[0, 1], [2, 3]], r"holds list<.*pixels in lists are not read"),
        ([{"data": b"x"}, {"data": b"y"}], r"holds struct<data"),
        ([1, 2], r"holds int64, but must hold encoded images"),
    ],
)
def test_columns_that_hold_no_encoded_images_are_refused(tmp_path, images, words):
    with pytest.raises(DataError, match=f"the column 'image' {words}"):
        opened(parquet(tmp_path, [0, 1], images))


def test_a_file_without_labels_hides_none_of_the_others_and_is_told(tmp_path):
    root = parquet(tmp_path, [0, 1])
    pq.write_table(pa.table({"image": [png(9)]}), root / "more.parquet")
    assert labels(root) == [None, "0", "1"]
    assert "1 without a column 'label': images without a label (more.parquet)" in told(root)


def test_that_no_column_is_called_label_is_told(tmp_path):
    pq.write_table(pa.table({"image": [png(9)], "fine": [3], "x": ["y"]}), tmp_path / "a.parquet")
    assert "no image has a label: there is no column 'label'; one of fine, x" in told(tmp_path)


@pytest.mark.parametrize(
    ("name", "test"),
    [
        ("cifar-test.parquet", True),
        ("data/validation-00000-of-00001.parquet", True),
        ("testset/x.parquet", True),
        ("test-images/train-0.parquet", False),
        ("contest.parquet", False),
    ],
)
def test_a_word_in_a_files_name_says_that_it_is_the_test_set(tmp_path, name, test):
    root = parquet(tmp_path, [0], name="a.parquet")
    parquet(root, [0], name=name)
    split = {e.split for e in opened(root).entries() if e.id.startswith(f"{name}:")}
    assert split == ({"test"} if test else {None})


def test_a_validation_file_beside_a_test_file_is_the_eval_split(tmp_path):
    for word in ("train", "validation", "test"):
        parquet(tmp_path, [0] * 20, name=f"{word}-00000-of-00001.parquet")
    found = {entry.id.partition("-")[0]: entry.split for entry in opened(tmp_path).entries()}
    assert found == {"train": "train", "validation": "eval", "test": "test"}


def test_where_every_file_is_called_test_it_is_all_of_the_data_and_told(tmp_path):
    root = parquet(tmp_path, [0] * 20, name="test.parquet")
    assert {entry.split for entry in opened(root).entries()} == {None}
    assert "all files are called test" in told(root)


def test_one_file_may_be_the_root_and_our_own_shards_are_no_data(tmp_path):
    root = parquet(tmp_path / "in", [i % 2 for i in range(60)])
    build_shards(opened(root), root / "runs" / "shards" / "parquet-1", parallel=False)
    assert len(list(opened(root).entries())) == 60
    assert "folders of raymoco's own output (runs/shards/parquet-1)" in told(root)
    assert len(list(opened(root / "train.parquet").entries())) == 60
