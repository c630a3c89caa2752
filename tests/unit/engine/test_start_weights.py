"""`model.weights`: a run starts from what is there, and says what did not fit."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from raymoco.config import ModelConfig
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.checkpoint import find_checkpoint, load_checkpoint
from raymoco.engine.local_paths import with_absolute_paths
from raymoco.engine.loop import run_loop
from raymoco.engine.resolve import resolve
from raymoco.engine.session import Session
from raymoco.engine.start_weights import check_start, start_from
from raymoco.errors import ConfigError
from raymoco.ssl.encoders import build_encoder
from tests.small import small_run


def train(folder, **changes):
    config = small_run(output=str(folder.parent), epochs=1, eval__linear__epochs=0, **changes)
    images = load_images(config.data, ensure_shards(config.data, folder.parent))
    config = resolve(config, channels=1, train_images=images.rows("train"))
    run_loop(config, images, Session(folder))
    return load_checkpoint(find_checkpoint(folder)).module


def started(model, channels=3, size=32):
    encoder = build_encoder(model, channels, size)
    return encoder.backbone.state_dict(), start_from(encoder, model)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "resnet18.pt"
    torch.manual_seed(3)
    torch.save(models.resnet18().state_dict(), file)
    return file


def test_a_run_starts_where_another_ended_and_its_key_encoder_too(tmp_path):
    first = train(tmp_path / "first")
    second = train(tmp_path / "second", model__weights=str(tmp_path / "first"), optim__lr=1e-9)
    name = next(key for key in first if key.endswith("weight") and key.startswith("encoders.query"))
    assert torch.allclose(second[name], first[name], atol=1e-4)
    key = name.replace("query", "key")
    assert torch.allclose(second[key], first[name], atol=1e-4)
    fresh = train(tmp_path / "fresh", optim__lr=1e-9)
    assert not torch.allclose(fresh[name], first[name], atol=1e-2)


def test_a_supervised_run_starts_from_momentum_contrast(tmp_path):
    train(tmp_path / "first")
    module = train(
        tmp_path / "next", method__loss="cross_entropy", model__weights=str(tmp_path / "first")
    )
    assert any(name.startswith("classifier") for name in module)


@pytest.mark.parametrize("prefix", ["", "module.encoder_q.", "backbone."])
@pytest.mark.parametrize("inside", ["", "state_dict", "model"])
def test_files_of_other_programs_are_read_whatever_their_prefix(tmp_path, resnet, prefix, inside):
    plain = torch.load(resnet, weights_only=True)
    state = {prefix + name: value for name, value in plain.items()}
    if prefix.startswith("module"):  # as MoCo's checkpoints, which have both encoders
        state |= {name.replace("_q", "_k"): value + 1 for name, value in state.items()}
    torch.save({inside: state, "epoch": 3} if inside else state, tmp_path / "w.pth")
    model = ModelConfig(backbone="resnet18", stem="imagenet", weights=str(tmp_path / "w.pth"))
    found, words = started(model)
    assert all(torch.equal(found[name], plain[name]) for name in found)
    assert f"{prefix}fc.weight" in words


def test_safetensors_are_read(tmp_path, resnet):
    plain = torch.load(resnet, weights_only=True)
    save_file(plain, tmp_path / "w.safetensors")
    model = ModelConfig(
        backbone="resnet18", stem="imagenet", weights=str(tmp_path / "w.safetensors")
    )
    found, _ = started(model)
    assert all(torch.equal(found[name], plain[name]) for name in found)


def test_what_does_not_fit_is_listed(resnet):
    model = ModelConfig(backbone="resnet18", stem="cifar", weights=str(resnet))
    _, words = started(model)
    assert "without weights: conv1.weight; not used: conv1.weight, fc.weight, fc.bias" in words
    model = ModelConfig(backbone="resnet18", stem="imagenet", weights=str(resnet))
    found, words = started(model, channels=1)
    assert "three color channels were added up" in words
    plain = torch.load(resnet, weights_only=True)["conv1.weight"]
    assert torch.equal(found["conv1.weight"], plain.sum(1, keepdim=True))


def test_nothing_that_fits_or_nothing_there_is_refused(tmp_path, resnet):
    def refused(weights, backbone="resnet18"):
        with pytest.raises(ConfigError) as caught:
            check_start(ModelConfig(backbone=backbone, weights=str(weights)), 3, 64)
        return str(caught.value)

    assert "nothing in it fits the backbone: it has conv1.weight" in refused(
        resnet, "mobilenet_v3_small"
    )
    assert "no such file or folder" in refused(tmp_path / "none.pt")
    (tmp_path / "notes.txt").write_text("hello")
    assert "cannot be read as a file of torch tensors" in refused(tmp_path / "notes.txt")
    torch.save([1, 2], tmp_path / "list.pt")
    assert "holds no state of named tensors" in refused(tmp_path / "list.pt")
    assert "resnet18 has IMAGENET1K_V1" in refused("torchvision:NOISE")
    assert "torchvision has no resnet8" in refused("torchvision:IMAGENET1K_V1", "resnet8")
    assert "no checkpoint there" in refused(tmp_path)


def test_a_relative_path_is_saved_absolute_and_published_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = small_run(model__weights="w.pt")
    assert with_absolute_paths(config).model.weights == f"{tmp_path}/w.pt"
    published = small_run(model__weights="torchvision:IMAGENET1K_V1")
    assert with_absolute_paths(published) == published
