"""A trained run, judged again from its checkpoint."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from raymoco import evaluate, load_encoder
from raymoco.cli import app
from raymoco.config import DataConfig
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.loop import run_loop
from raymoco.engine.resolve import resolve
from raymoco.engine.session import Session
from raymoco.errors import ConfigError, DataError
from raymoco.using.judging import judge
from tests.small import small_run
from tests.unit.using.trained import pictures


def train(folder, **changes):
    half = {"data__labelled_fraction": 0.5} | changes
    config = small_run(output=str(folder), epochs=1, eval__linear__epochs=2, **half)
    images = load_images(config.data, ensure_shards(config.data, folder))
    config = resolve(config, channels=1, train_images=images.rows("train"))
    return run_loop(config, images, Session(folder / "one"))


@pytest.mark.parametrize("mix", ["natural", "1:7"])
def test_a_run_is_judged_as_it_was_at_its_end(tmp_path, mix):
    row = train(tmp_path, data__mix=mix)
    found = evaluate(tmp_path / "one")
    assert found == {name: value for name, value in row.items() if name.startswith("test/")}


def test_a_run_on_images_without_labels_cannot_be_judged(tmp_path):
    source = tmp_path / "images" / "unlabelled"
    source.mkdir(parents=True)
    for number in range(120):
        Image.new("L", (8, 8), number * 2).save(source / f"{number}.png")
    train(
        tmp_path,
        data__source="folder",
        data__root=str(source.parent),
        data__image_size=8,
        data__labelled_fraction=0,
    )
    with pytest.raises(DataError, match="have no labels to judge by"):
        evaluate(tmp_path / "one")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    train(folder)
    return folder / "one"


def test_baselines_stand_beside_an_encoder(digits):
    judged = judge([digits])
    untrained, pixels, majority = judged.baselines
    assert untrained.name == "untrained resnet8"
    assert 0.5 < pixels.row["test/knn_top1"] <= 1  # pixels of digits are good features
    assert majority.row["test/knn_top1"] == pytest.approx(0.1, abs=0.03)
    config = judged.encoders[0].row
    assert config.keys() == untrained.row.keys()
    assert config != untrained.row


def test_pixels_by_nearest_neighbors_are_scikit_learns(digits):
    from sklearn.neighbors import KNeighborsClassifier

    config = load_encoder(digits).config
    handle = load_images(config.data, ensure_shards(config.data, Path(config.output)))
    splits = {name: (part.images, part.labels) for name, part in handle.splits.items()}
    flat = {name: (x.reshape(len(x), -1) / 255.0, y) for name, (x, y) in splits.items()}
    mean = handle.manifest.mean[0]
    unit = {}
    for name, (x, y) in flat.items():
        centered = x - mean
        unit[name] = (centered / np.linalg.norm(centered, axis=1, keepdims=True), y)
    model = KNeighborsClassifier(
        20, weights=lambda distance: np.exp(-(distance**2) / 2 / 0.1), algorithm="brute"
    ).fit(*unit["train"])
    _, pixels, _ = judge([digits], protocols=["knn"]).baselines
    assert pixels.row["test/knn_top1"] == pytest.approx(model.score(*unit["test"]), abs=0.004)


def test_other_images_judge_by_transfer(digits, tmp_path):
    root = pictures(tmp_path / "in", count=40)
    judged = judge([digits], on=DataConfig(source="folder", root=str(root)), protocols=["logreg"])
    assert set(judged.encoders[0].row) == {"test/logreg_top1"}
    assert judged.encoders[0].images == str(root)
    (note,) = judged.notes
    assert "resized to 8 px, colors made gray; normalized by the encoder's own" in note


def test_gray_images_judge_an_encoder_of_colors(tmp_path):
    from tests.unit.using.trained import train_on

    run = train_on(pictures(tmp_path / "in", count=20), tmp_path, data__image_size=16)
    judged = judge([run], on=DataConfig(source="digits"), protocols=["knn"], baselines=False)
    assert "gray repeated three times" in judged.notes[0]
    assert judged.encoders[0].row["test/knn_top1"] > 0.1


def test_several_encoders_are_compared_image_by_image(digits, tmp_path):
    train(tmp_path, method__loss="info_nce")
    done = CliRunner().invoke(
        app, ["evaluate", str(digits), str(tmp_path / "one"), "--protocol", "knn"]
    )
    assert "McNemar p: against one, image by image, by test/knn_top1" in done.output
    assert "pixels" in done.output
    found = CliRunner().invoke(
        app, ["evaluate", str(digits), "--json", "--encoder", "key", "--no-baselines"]
    )
    (encoder,) = json.loads(found.output)["encoders"]
    assert encoder["metrics"].keys() >= {"test/knn_top1", "test/linear_top1"}


def test_an_unknown_protocol_is_refused_by_name(digits):
    with pytest.raises(ConfigError, match=r"protocol is 'kn', but must be one of knn, linear"):
        judge([digits], protocols=["kn"])


def test_pictures_are_drawn_of_what_was_judged(digits, tmp_path):
    words = ["evaluate", str(digits), "--no-baselines", "--pictures", str(tmp_path / "p")]
    done = CliRunner().invoke(app, words)
    page = (tmp_path / "p" / "pictures.html").read_text()
    assert str(tmp_path / "p" / "pictures.html") in done.output
    assert page.count("data:image/png;base64,") == 3
    assert "Of 361 test images" in page
    assert len(page) < 2 * 2**20
    with Image.open(tmp_path / "p" / "neighbors.png") as sheet:
        colors = {color for _, color in sheet.getcolors(2**20)}
    assert {(0, 0x9E, 0x73), (0xD5, 0x5E, 0)} <= colors  # some agree, some do not
