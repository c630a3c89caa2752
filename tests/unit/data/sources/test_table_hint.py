"""A table of labels that lies beside the images and is not used is told."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.people_folders import people_folder, told

ROWS = [f"{i}.png" for i in range(6)]
TABLES = {
    "train.csv": "id,breed\n" + "".join(f"{name[:-4]},cat\n" for name in ROWS),
    "semicolons.csv": "image;label\n" + "".join(f"{name};1\n" for name in ROWS),
    "tabs.tsv": "image\tlabel\n" + "".join(f"{name}\t1\n" for name in ROWS),
    "labels.txt": "".join(f"img/{name} {i}\n" for i, name in enumerate(ROWS)),
    "backslashes.csv": "n,l\n" + "".join(f"img\\{name},1\n" for name in ROWS),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("place", ["", "img/"])
def test_a_table_whose_values_are_names_of_images_is_told(tmp_path, name, place):
    root = people_folder(tmp_path / "in", {"img": 6, place + name: TABLES[name]})
    assert f"{place}{name} looks like a label table" in told(root)
    assert f"data.labels_csv={root}/{place}{name}" in told(root)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_a_table_in_any_encoding_is_told(tmp_path, encoding):
    root = people_folder(tmp_path / "in", {"": 6})
    (root / "train.csv").write_text(TABLES["train.csv"], encoding)
    assert "train.csv looks like a label table" in told(root)


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5], [f"{i}.png" for i in range(6)]])
def test_a_parquet_table_is_told_and_images_in_parquet_are_not(tmp_path, ids):
    root = people_folder(tmp_path / "in", {"": 6})
    pq.write_table(pa.table({"id": ids, "label": ["cat"] * 6}), root / "train.parquet")
    pq.write_table(pa.table({"image": [b"x"] * 6, "label": ["cat"] * 6}), root / "x.parquet")
    (root / "cut.parquet").write_bytes(b"PAR1")
    assert f"data.labels_csv={root}/train.parquet" in told(root)
    assert told(root).count("looks like") == 1


def test_annotations_are_told(tmp_path):
    coco = json.dumps({"images": [{"file_name": name, "id": 1} for name in ROWS]})
    root = people_folder(tmp_path / "in", {"": 6, "annotations.json": coco})
    assert "annotations.json looks like annotations" in told(root)


def test_other_tables_are_not_told(tmp_path):
    files = {"notes.txt": "many words here\nno names at all\n", "prices.csv": "a,b\n1,2\n3,4\n"}
    root = people_folder(tmp_path / "in", {"cats": 6, "dogs": 6, **files})
    assert "looks like" not in told(root)


def test_the_table_that_is_used_is_not_told(tmp_path):
    table = "name,label\n" + "".join(f"img/{name},cat\n" for name in ROWS)
    root = people_folder(tmp_path / "in", {"img": 6, "labels.csv": table})
    assert told(root) == ""


def test_captions_are_told_once_and_not_as_a_label_table(tmp_path):
    captions = "file_name,text\n" + "".join(f"{n}.png,a cat\n" for n in range(40))
    said = told(people_folder(tmp_path / "in", {"": 40, "metadata.csv": captions}))
    assert "metadata.csv has no labels (file_name, text): it is not used" in said
    assert "looks like a label table" not in said
