"""What there is, by a command each."""

from typer.testing import CliRunner

import raymoco
from raymoco.cli import app
from raymoco.config import preset_names
from raymoco.metrics import LISTED


def said(*words):
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def test_the_version_is_the_packages():
    assert said("--version") == f"raymoco {raymoco.__version__}\n"


def test_every_preset_is_listed_with_what_it_is_for():
    lines = said("presets").splitlines()
    assert [line.split()[0] for line in lines] == preset_names()
    assert all(len(line.split()) > 4 for line in lines)


def test_every_metric_is_listed_whole():
    text = said("metrics")
    assert all(f"{name} " in text for name in LISTED)
    assert "test/NAME" in text


def test_backbones_are_listed_and_found_by_a_part_of_their_names():
    names = {line.split()[0] for line in said("backbones").splitlines() if line}
    assert {"resnet8", "resnet50", "vit_b_16"} <= names
    assert said("backbones", "mobilenet_v3").split() == ["mobilenet_v3_large", "mobilenet_v3_small"]
