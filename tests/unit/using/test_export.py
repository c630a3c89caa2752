"""Exported files load where they say, and give the same features."""

import json
import pickle

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

from raymoco import load_encoder
from raymoco.cli import app
from raymoco.errors import ConfigError
from raymoco.using.export import export_encoder
from tests.unit.using.trained import pictures, train_on


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("images"), count=20)


def trained(root, output, backbone, **values):
    few = {"data__limit": 16, "method__queue_size": 8, "data__image_size": 32}
    return train_on(root, output, model__backbone=backbone, **(few | values))


@pytest.fixture(scope="module", params=["resnet18", "resnet18-imagenet", "mobilenet_v3_small"])
def run(request, root, tmp_path_factory):
    backbone, _, stem = request.param.partition("-")
    values = {"model__stem": stem} if stem else {}
    return trained(root, tmp_path_factory.mktemp("runs"), backbone, **values)


@pytest.fixture(scope="module")
def small(root, tmp_path_factory):
    return trained(root, tmp_path_factory.mktemp("runs"), "resnet8")


def images(encoder):
    size = encoder.image_size
    return torch.randn(3, encoder.channels, size, size, generator=torch.Generator().manual_seed(1))


def features_by_lines(done):
    """Run the lines that export printed; the model is what they leave."""
    names = {}
    exec("\n".join(done.lines), names)
    return names["model"]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_torchvisions_own_model_loads_strictly_and_gives_the_same_features(run, tmp_path, suffix):
    encoder = load_encoder(run)
    done = export_encoder(run, tmp_path / f"encoder{suffix}")
    model = features_by_lines(done)
    assert type(model).__module__.startswith("torchvision.")
    with torch.inference_mode():
        assert torch.equal(model(images(encoder)).flatten(1), encoder.features(images(encoder)))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_timms_own_model_loads_strictly_and_gives_the_same_features(root, tmp_path, suffix, stem):
    run = trained(root, tmp_path, "resnet18", model__stem=stem)
    encoder = load_encoder(run)
    model = features_by_lines(export_encoder(run, tmp_path / f"e{suffix}", format="timm"))
    assert type(model).__module__.startswith("timm.")
    with torch.inference_mode():
        assert torch.equal(model(images(encoder)), encoder.features(images(encoder)))


def test_onnx_runtime_agrees_for_any_batch(small, tmp_path):
    encoder = load_encoder(small)
    export_encoder(small, tmp_path / "e.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "e.onnx")
    for count in (1, 3):
        batch = images(encoder)[:count]
        (found,) = session.run(None, {"images": batch.numpy()})
        with torch.inference_mode():
            expected = encoder.features(batch).numpy()
        assert np.abs(found - expected).max() < 1e-4
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["mean"]) == list(encoder.mean)


def test_a_program_of_torch_needs_no_code_of_ours(small, tmp_path):
    encoder = load_encoder(small)
    export_encoder(small, tmp_path / "e.pt2")
    extra = {"raymoco.json": ""}
    program = torch.export.load(tmp_path / "e.pt2", extra_files=extra).module()
    with torch.inference_mode():
        assert torch.allclose(program(images(encoder)), encoder.features(images(encoder)))
    assert json.loads(extra["raymoco.json"])["classes"] == ["cats", "dogs"]


def test_the_file_carries_preprocessing_classes_and_backbone(small, tmp_path):
    encoder = load_encoder(small)
    export_encoder(small, tmp_path / "e.pt")
    about = torch.load(tmp_path / "e.pt", weights_only=True)
    assert (about["backbone"], about["width"], about["image_size"]) == ("resnet8", 4, 32)
    assert about["mean"] == list(encoder.mean)
    assert about["classes"] == ["cats", "dogs"]
    assert features_by_lines(export_encoder(small, tmp_path / "e.pt")) is not None
    export_encoder(small, tmp_path / "e.safetensors")
    with safe_open(tmp_path / "e.safetensors", "pt") as file:
        assert json.loads(file.metadata()["std"]) == list(encoder.std)


def test_detectron2_gets_its_own_names(root, tmp_path):
    run = trained(
        root,
        tmp_path,
        "resnet50",
        model__stem="imagenet",
        optim__batch_size=4,
        method__queue_size=4,
    )
    export_encoder(run, tmp_path / "e.pkl", format="detectron2")
    model = pickle.loads((tmp_path / "e.pkl").read_bytes())["model"]
    assert {
        "stem.conv1.weight",
        "stem.conv1.norm.running_mean",
        "res2.0.shortcut.weight",
        "res2.0.shortcut.norm.bias",
        "res5.2.conv3.norm.weight",
    } <= set(model)
    assert not any(part in name for name in model for part in ("bn", "layer", "downsample"))
    assert torch.equal(
        torch.from_numpy(model["res2.0.conv1.weight"]),
        load_encoder(run).backbone.layer1[0].conv1.weight,
    )


@pytest.mark.parametrize(
    ("name", "format_", "said"),
    [
        ("e.zip", None, "no format has the ending"),
        ("e", None, "no format has the ending"),
        ("e.pt", "onnx", r"the format onnx has the ending \.onnx, not '\.pt'"),
        ("e.pt", "torchvision", "torchvision has no resnet8"),
        ("e.pt", "timm", "only torchvision's ResNets"),
        ("e.pkl", None, "only torchvision's ResNets"),
    ],
)
def test_what_does_not_fit_is_refused_and_writes_nothing(small, tmp_path, name, format_, said):
    with pytest.raises(ConfigError, match=said):
        export_encoder(small, tmp_path / name, format=format_)
    assert not list(tmp_path.iterdir())


def test_the_command_prints_the_lines_that_load_the_file(small, tmp_path):
    done = CliRunner().invoke(app, ["export", str(small), str(tmp_path / "e.onnx")])
    assert "import onnxruntime" in done.output
    assert CliRunner().invoke(app, ["export", str(small), "x.pt", "--format", "tar"]).exit_code
