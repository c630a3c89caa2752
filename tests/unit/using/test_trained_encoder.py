"""An encoder sees files as it saw its training images."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raymoco import load_encoder
from raymoco.config import RunConfig
from raymoco.data.loading.loader import open_images
from raymoco.data.loading.prepare import load_images
from raymoco.data.loading.train_plan import Reader
from raymoco.data.shards.ensure import ensure_shards
from raymoco.data.views.two_views import Normalize
from raymoco.engine.checkpoint import find_checkpoint
from raymoco.engine.probes import extract_features
from raymoco.errors import ConfigError, DataError
from tests.unit.using.trained import pictures, train_on

V0_1 = Path(__file__).parents[2] / "fixtures" / "v0_1"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    return train_on(root, tmp_path_factory.mktemp("runs"), data__image_size=16)


def as_evaluated(run: Path, split: str = "test"):
    """Ids and features of a split, as an evaluation has them."""
    config = load_encoder(run).config
    shards = ensure_shards(config.data, Path(config.output))
    handle = load_images(config.data, shards)
    images = open_images(handle, config.data, Reader(0, 2))
    mean, std = shards.manifest.mean, shards.manifest.std
    found = extract_features(
        load_encoder(run), images.split(split, 64), Normalize(mean, std), torch.device("cpu")
    )
    return [name.decode() for name in handle.splits[split].ids.tolist()], found.features_NF


@pytest.mark.parametrize(
    "values",
    [
        {"data__image_size": 16},
        {"data__image_size": 24, "data__view_size": 16},
        {"data__image_size": 16, "data__background": "#204060"},
    ],
)
def test_files_have_the_features_that_the_evaluation_gives_them(root, tmp_path, values):
    run = train_on(root, tmp_path, **values)
    ids, expected = as_evaluated(run)
    assert len(ids) > 5
    found = load_encoder(run).features_of([root / name for name in ids])
    assert torch.equal(found, expected)


def test_resized_shards_are_followed(root, tmp_path):
    config = RunConfig().with_values({"data.source": "folder", "data.root": str(root)})
    ensure_shards(config.data, tmp_path, size=20)
    run = train_on(root, tmp_path, data__image_size=16)
    ids, expected = as_evaluated(run)
    assert load_encoder(run).preprocess.size == 20
    assert torch.equal(load_encoder(run).features_of([root / name for name in ids]), expected)


def test_a_picture_is_the_same_in_every_form(root, run):
    encoder = load_encoder(run)
    for name in ("cats/00.png", "cats/01.png"):  # the first has transparent parts
        path = root / name
        expected = encoder.preprocess(path)
        assert expected.shape == (3, 16, 16)
        with Image.open(path) as image:
            for form in (str(path), path.read_bytes(), image):
                assert torch.equal(encoder.preprocess(form), expected)
    pixels = np.asarray(Image.open(root / "cats/01.png"))
    assert torch.equal(encoder.preprocess(pixels), encoder.preprocess(root / "cats/01.png"))
    with Image.open(root / "cats/02.jpg") as photo:
        near = encoder.preprocess(photo) - encoder.preprocess(root / "cats/02.jpg")
    assert near.abs().max() < 0.05


def test_a_turned_photograph_stands_upright_in_every_form(root, run, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(root / "cats/01.png").save(tmp_path / "turned.png", exif=exif)
    encoder = load_encoder(run)
    with Image.open(tmp_path / "turned.png") as image:
        assert torch.equal(encoder.preprocess(image), encoder.preprocess(tmp_path / "turned.png"))


def test_projections_are_those_of_the_loss(root, run):
    encoder = load_encoder(run)
    found = encoder.features_of([root / "cats/00.png"], layer="projector")
    assert found.shape == (1, encoder.dim)
    assert found.norm().item() == pytest.approx(1, abs=1e-5)
    assert encoder.features_of([]).shape == (0, encoder.feature_dim)


def test_batches_do_not_change_features(root, run):
    files = sorted(root.rglob("*.*"))[:9]
    encoder = load_encoder(run)
    whole = encoder.features_of(files)
    assert torch.allclose(whole, encoder.features_of(files, batch_size=2), atol=1e-5)


def test_the_key_encoder_is_another_one_and_a_supervised_run_has_none(root, run, tmp_path):
    query, key = load_encoder(run), load_encoder(run, encoder="key")
    assert not torch.equal(
        query.features_of([root / "cats/00.png"]), key.features_of([root / "cats/00.png"])
    )
    supervised = train_on(root, tmp_path, data__image_size=16, method__loss="cross_entropy")
    with pytest.raises(ConfigError, match="cross_entropy has a query encoder only"):
        load_encoder(supervised, encoder="key")


def test_what_is_no_image_is_named(run, tmp_path):
    encoder = load_encoder(run)
    (tmp_path / "notes.png").write_text("no image")
    with pytest.raises(DataError, match=r"notes\.png: not a whole image"):
        encoder.features_of([tmp_path / "notes.png"])
    with pytest.raises(DataError, match=r"missing\.png: cannot be read: No such file"):
        encoder.preprocess(tmp_path / "missing.png")
    with pytest.raises(DataError, match="float64 and the shape"):
        encoder.preprocess(np.zeros((8, 8)))


def test_encoders_are_found_by_run_checkpoint_sweep_and_trial(run, tmp_path, monkeypatch):
    expected = load_encoder(run).state_dict()

    def same(place):
        found = load_encoder(place).state_dict()
        return all(torch.equal(found[name], expected[name]) for name in expected)

    assert same(run / "checkpoints")
    assert same(find_checkpoint(run))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / "runs" / "mine")
    assert same("mine")
    sweep = shutil.copytree(V0_1 / "search", tmp_path / "runs" / "search")
    best = load_encoder("search")
    assert best.config.seed == load_encoder(sweep / "t002").config.seed
    assert torch.equal(
        next(iter(best.state_dict().values())),
        next(iter(load_encoder("search/t002").state_dict().values())),
    )
    with pytest.raises(DataError, match="no trial is called 't9'; there are t000"):
        load_encoder("search/t9")
    with pytest.raises(DataError, match="trial t000 has no checkpoint"):
        load_encoder("search/t000")
    with pytest.raises(DataError, match="no such"):
        load_encoder("nothing/of/that")


def test_a_checkpoint_of_version_0_1_knows_its_preprocessing():
    encoder = load_encoder(V0_1 / "run")
    assert encoder.preprocess.background == "white"
    assert (encoder.preprocess.resize, encoder.image_size) == (8, 8)
    assert encoder.features_of([np.zeros((8, 8), np.uint8)]).shape[0] == 1
