"""A run whose values change on the way: what a population does, and `raymoco train` repeats."""

import pytest
import torch

from raymoco.config import CHANGEABLE, RunConfig
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.checkpoint import list_checkpoints, load_checkpoint
from raymoco.engine.loop import run_loop
from raymoco.engine.resolve import resolve
from raymoco.engine.session import Session
from raymoco.errors import ConfigError
from tests.small import small_run

BASE = small_run(
    data__limit=160,
    data__labelled_fraction=0.3,
    eval__linear__epochs=1,
    checkpoint__keep=9,
    epochs=3,
)
CHANGED = {
    0: {"method.temperature": 0.2},
    1: {
        "optim.lr": 0.2,
        "method.temperature": 0.3,
        "method.key_momentum": 0.5,
        "method.cross_consistency.weight": 0.7,
    },
    2: {
        "method.cross_consistency.weight": 0,
        "method.negative_uniformity.weight": 0.3,
        "method.negative_uniformity.temperature": 0.4,
    },
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return load_images(BASE.data, ensure_shards(BASE.data, tmp_path_factory.mktemp("shards")))


def train(values, images, folder, resume_from=None):
    config = resolve(BASE.with_values(values), channels=1, train_images=images.rows("train"))
    rows = {}

    def on_report(row, checkpoint):
        rows[row["epoch"]] = row
        return False

    run_loop(config, images, Session(folder, on_report=on_report), resume_from)
    return rows, [load_checkpoint(path).module for path in list_checkpoints(folder)]


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_segments_handed_from_run_to_run_are_repeated_bit_for_bit_by_one_run(images, tmp_path):
    # three runs, each going on from the one before with other values, as a population does
    keys = [{}, {}, {}]
    for epoch in range(3):
        for since in range(epoch + 1):
            keys[epoch] |= CHANGED[since]
    folders = [tmp_path / str(epoch) for epoch in range(3)]
    place = None
    for values, folder in zip(keys, folders, strict=True):
        parts = train(values, images, folder, place)[1]
        place = list_checkpoints(folder)[0]  # the first epoch that it trained itself
    rows, whole = train({"changes": CHANGED}, images, tmp_path / "whole")
    assert same(whole[-1], parts[-1])
    constant = train(keys[0], images, tmp_path / "constant")[1]
    assert same(whole[0], constant[0])
    assert not same(whole[1], constant[1])
    assert [rows[e]["changes/method.temperature"] for e in (1, 2, 3)] == [0.2, 0.3, 0.3]
    assert [rows[e]["changes/method.cross_consistency.weight"] for e in (1, 2, 3)] == [0, 0.7, 0]
    assert "train/cross_consistency" in rows[2]
    assert "train/cross_consistency" not in rows[3]


def test_a_run_with_changes_that_was_killed_goes_on_as_if_it_had_not_been(images, tmp_path):
    whole = train({"changes": CHANGED}, images, tmp_path / "whole")[1]
    middle = list_checkpoints(tmp_path / "whole")[1]
    resumed = train({"changes": CHANGED}, images, tmp_path / "resumed", middle)[1]
    assert same(whole[-1], resumed[-1])


def test_changes_survive_a_file_and_a_run_without_them_keeps_its_name(tmp_path):
    from raymoco.config import load_run_config

    path = tmp_path / "run.yaml"
    path.write_text(BASE.with_values({"changes": CHANGED}).to_yaml())
    assert load_run_config(str(path)).changes == CHANGED
    assert RunConfig().run_name == "digits-unicon-0-" + RunConfig().digest()
    assert load_run_config(str(path)).digest() != BASE.digest()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({3: {"optim.lr": 0.1}}, "changes has epoch 3, but must be below 3"),
        ({1: {"optim.momentum": 0.1}}, "'optim.momentum' cannot change in a run"),
        ({1: {"method.temprature": 0.1}}, "did you mean 'method.temperature'"),
        ({1: {"optim.lr": -1}}, "optim.lr is -1"),
        ({"soon": {"optim.lr": 1}}, "changes"),
        ({-1: {"optim.lr": 1}}, "changes"),
    ],
)
def test_a_change_that_no_run_can_make_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        BASE.with_values({"changes": changes})


def test_the_weight_of_a_term_changes_in_a_run(images, tmp_path):
    spread = {"use": "tests.somebodys:Spread", "weight": 0}
    changes = {1: {"method.terms.spread.weight": 0.5}}
    rows, _ = train({"method.terms": {"spread": spread}, "changes": changes}, images, tmp_path)
    assert ["train/spread" in rows[epoch] for epoch in (1, 2, 3)] == [False, True, True]
    assert [rows[epoch]["changes/method.terms.spread.weight"] for epoch in (1, 2)] == [0, 0.5]
    with pytest.raises(ConfigError, match=r"did you mean 'method.terms.spread.weight'"):
        BASE.with_values(
            {"method.terms": {"spread": spread}, "changes": {1: {"method.terms.sprad.weight": 1}}}
        )


def test_every_changeable_key_is_a_key():
    for key in CHANGEABLE:
        BASE.with_values({"changes": {1: {key: 0.5}}})
