"""Features of a folder in a file: every image once, in order, under its name."""

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from raymoco import load_encoder
from raymoco.cli import app
from raymoco.errors import ConfigError
from tests.unit.using.trained import pictures, train_on


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    return train_on(root, tmp_path_factory.mktemp("runs"), data__image_size=16)


def embed(*words):
    done = CliRunner().invoke(app, ["embed", *map(str, words)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_each_image_has_a_row_with_its_name_label_and_features(root, run, tmp_path):
    done = embed(run, root, "-o", tmp_path / "f.parquet")
    assert "60 rows of 16 features" in done.output
    table = pd.read_parquet(tmp_path / "f.parquet")
    assert list(table.columns) == ["id", "label", "features"]
    assert list(table.id) == sorted(str(p.relative_to(root)) for p in root.rglob("*.*"))
    assert (table.label == table.id.str.split("/").str[0]).all()
    expected = load_encoder(run).features_of([root / name for name in table.id])
    assert torch.equal(torch.tensor(np.stack(table.features)), expected)
    assert "changed: 20 had transparent parts, filled with white" in done.output


def test_csv_and_npy_hold_the_same(root, run, tmp_path):
    for name in ("f.parquet", "f.csv", "g.npy"):
        embed(run, root, "-o", tmp_path / name)
    features = np.stack(pd.read_parquet(tmp_path / "f.parquet").features)
    table = pd.read_csv(tmp_path / "f.csv")
    assert list(table.columns) == ["id", "label", *(f"f{n}" for n in range(16))]
    assert (table.iloc[:, 2:].to_numpy(np.float32) == features).all()
    assert (np.load(tmp_path / "g.npy") == features).all()
    assert (pd.read_csv(tmp_path / "g.csv").id == table.id).all()
    assert not list(tmp_path.glob(".*"))


def test_images_that_cannot_be_read_are_counted_and_left_out(run, tmp_path):
    root = pictures(tmp_path / "in", count=3)
    (root / "cats" / "half.png").write_bytes((root / "cats" / "01.png").read_bytes()[:60])
    (root / "dogs" / "notes.txt").write_text("hello")
    (root / "loose.png").write_bytes((root / "cats" / "01.png").read_bytes())
    done = embed(run, root, "-o", tmp_path / "f.parquet")
    assert "corrupt: 1 not a whole image (cats/half.png)" in done.output
    assert "passed over: 1" in done.output
    table = pd.read_parquet(tmp_path / "f.parquet")
    assert len(table) == 7
    assert table.label[table.id == "loose.png"].isna().all()


def test_a_supervised_run_names_classes(root, tmp_path):
    run = train_on(root, tmp_path, data__image_size=16, method__loss="cross_entropy")
    embed(run, root, "-o", tmp_path / "f.parquet")
    predicted = pd.read_parquet(tmp_path / "f.parquet").predicted
    assert set(predicted) <= {"cats", "dogs"}


def test_sources_are_read_as_in_a_config(run, tmp_path):
    done = embed(run, "digits", "-o", tmp_path / "f.npy")
    assert "1,797 rows" in done.output
    with pytest.raises(ConfigError, match="'nothing': no such folder, and no source of images"):
        embed(run, "nothing", "-o", tmp_path / "f.npy")


def test_a_list_of_files_keeps_its_order(root, run, tmp_path):
    names = [str(root / "dogs" / "05.jpg"), str(root / "cats" / "00.png")]
    (tmp_path / "list.csv").write_text("path,label\n" + "".join(f"{n},x\n" for n in names))
    embed(run, tmp_path / "list.csv", "-o", tmp_path / "f.parquet")
    table = pd.read_parquet(tmp_path / "f.parquet")
    assert (len(table), set(table.label)) == (2, {"x"})
    expected = load_encoder(run).features_of(names)
    assert torch.equal(torch.tensor(np.stack(table.features)), expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "f.xlsx"], "must be one of .parquet, .csv, .npy"),
        (["--layer", "neck"], "layer is 'neck', but must be one of backbone, projector"),
        (["--encoder", "both"], "encoder is 'both', but must be one of query, key"),
        (["data.colums.id=x"], "colums"),
    ],
)
def test_wrong_words_are_refused_and_leave_no_file(root, run, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match=said):
        embed(run, root, *words)
    assert not list(tmp_path.iterdir())


def test_a_color_image_for_a_gray_encoder_is_told(root, tmp_path):
    gray = pictures(tmp_path / "gray")
    from PIL import Image

    for path in gray.rglob("*.*"):
        Image.open(path).convert("L").save(path)
    run = train_on(gray, tmp_path, data__image_size=16)
    done = embed(run, root, "-o", tmp_path / "f.npy")
    assert "changed: 60 are in color and were made gray" in done.output
