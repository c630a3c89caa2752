"""The ablations in sweeps/: each asks something, and no cell of it is impossible or a twin."""

from pathlib import Path

import pytest

from raymoco.config import preset_names
from raymoco.errors import ConfigError
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.code_checks import check_named_code
from raymoco.study.sweepfile.image_checks import check_against_images
from raymoco.study.sweepfile.load import load_sweep
from tests.people_folders import people_folder

SWEEPS = Path(__file__).parents[4] / "sweeps"
ABLATIONS = {
    "label_ladder": 6,
    "loss": 4,
    "xmoco_terms": 4,
    "xmoco_forms": 7,
    "queue": 9,
    "batch_norm": 4,
    "precision": 2,
}
# channels, images to train on and classes by source: what is published, less a tenth for eval
IMAGES = {
    "fashion_mnist": (1, 54_000, 10),
    "cifar10": (3, 45_000, 10),
    "cifar100": (3, 45_000, 100),
    "stl10": (3, 104_500, 10),  # most of them without a label
    "folder": (3, 1_153_050, 1000),  # ImageNet's
}


def test_every_ablation_is_tried_here():
    found = (path.stem for path in SWEEPS.glob("*.yaml") if "kind: ablation" in path.read_text())
    assert sorted(found) == sorted(ABLATIONS)


@pytest.mark.parametrize(("name", "cells"), ABLATIONS.items())
def test_each_asks_a_question_of_cells_that_digits_can_run(name, cells):
    sweep = load_sweep(SWEEPS / f"{name}.yaml")
    assert isinstance(sweep.spec, AblationSpec)
    assert sweep.spec.question.endswith("?")
    assert len(sweep.spec.cells) == cells
    assert sweep.base.data.source == "digits"
    check_named_code(sweep)
    check_against_images(sweep, channels=1, train_images=1288, classes=10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return people_folder(tmp_path_factory.mktemp("images"), {"cats": 250, "dogs": 250})


@pytest.mark.parametrize("preset", [name for name in preset_names() if name != "digits"])
@pytest.mark.parametrize("name", ABLATIONS)
def test_one_line_takes_each_to_other_images(name, preset, folder):
    line = f"run.data.root={folder}" if preset == "folder" else f"run.preset={preset}"
    sweep = load_sweep(SWEEPS / f"{name}.yaml", [line])
    channels, train_images, classes = IMAGES[sweep.base.data.source]
    assert len(sweep.spec.cells) == ABLATIONS[name]
    check_against_images(sweep, channels=channels, train_images=train_images, classes=classes)


def test_a_ladder_of_labels_that_the_loss_never_sees_is_refused():
    with pytest.raises(ConfigError, match="they train the same"):
        load_sweep(SWEEPS / "label_ladder.yaml", ["run.method.loss=info_nce"])
