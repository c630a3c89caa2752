"""Named code is looked at before anything starts, written out, and left alone on a resume."""

import pytest

from raymoco.config import RunConfig
from raymoco.engine.check_choices import check_choices
from raymoco.engine.checkpoint import Checkpoint, save_checkpoint
from raymoco.engine.regime import TrainImages, regime
from raymoco.engine.resolve import resolve
from raymoco.engine.train import _resume_point, train
from raymoco.errors import ConfigError

SPREAD = {"use": "tests.somebodys:Spread", "weight": 0.5}


def config(**values):
    return RunConfig().with_values({key.replace("__", "."): one for key, one in values.items()})


def resolved(**values):
    return resolve(config(**values), channels=1, train_images=1000)


def test_a_loss_that_needs_labels_is_refused_where_none_is_visible():
    probe = {"method__loss": "tests.somebodys:Probe"}
    check_choices(config(**probe))
    with pytest.raises(ConfigError, match=r"Probe, but data.labelled_fraction is 0"):
        check_choices(config(**probe, data__labelled_fraction=0))


def test_a_resolved_config_has_every_option_of_somebodys_code_and_keeps_its_name():
    given = config(
        method__loss="tests.somebodys:Contrast",
        method__terms={"spread": SPREAD},
        model__backbone="tests.somebodys:flat_net",
    )
    found = resolve(given, channels=1, train_images=1000)
    assert found.method.loss == {"name": "tests.somebodys:Contrast", "shift": 0.0}
    assert found.method.terms["spread"].options == {"margin": -0.5}
    assert found.model.backbone == {"name": "tests.somebodys:flat_net", "width": 4}
    assert found.run_name == given.run_name
    assert resolve(found, channels=1, train_images=1000) == found


def test_a_loss_without_a_queue_may_have_any():
    values = {"method__queue_size": 5000, "method__loss": "tests.somebodys:Cosine"}
    assert regime(resolved(**values), TrainImages(1000)).fills is None
    with pytest.raises(ConfigError, match=r"method.queue_size is 5000"):
        resolved(**{**values, "method__loss": "tests.somebodys:Contrast"})


def test_train_refuses_wrong_code_before_it_writes_or_starts_anything(tmp_path):
    import ray

    wrong = config(method__loss="nowhere.at_all:X", output=str(tmp_path / "runs"))
    with pytest.raises(ConfigError, match="there is no module 'nowhere'"):
        train(wrong)
    assert not (tmp_path / "runs").exists()
    assert not ray.is_initialized()


@pytest.fixture
def begun(tmp_path):
    def begin(**values):
        checkpoint = Checkpoint(resolved(**values).model_dump(), 3, {}, {}, {})
        save_checkpoint(tmp_path / "checkpoints", checkpoint, 1)
        return tmp_path

    return begin


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        ({}, {"optim__lr": 0.5}, "optim.lr: 0.06 -> 0.5"),
        ({}, {"method__terms": {"spread": SPREAD}}, "method.terms.spread.weight: None -> 0.5"),
        ({"method__terms": {"spread": SPREAD}}, {}, "method.terms.spread.weight: 0.5 -> None"),
        ({}, {"checkpoint__keep": 5, "eval__every": 2}, "eval.every: 1 -> 2"),
        ({}, {"name": "x", "checkpoint__keep": 5}, None),
        ({}, {"method__cross_consistency__form": "queue_kl"}, None),
        ({}, {"scale__workers": 2}, None),
        ({"method__batch_norm": "plain"}, {"scale__workers": 2}, "batch_norm: plain -> shuffle"),
    ],
)
def test_a_resume_may_change_what_decides_nothing(begun, then, now, words):
    folder = begun(**then)
    if words is None:
        assert _resume_point(folder, resolved(**now), print).name == "epoch-00003.pt"
    else:
        with pytest.raises(ConfigError, match="cannot be resumed") as refused:
            _resume_point(folder, resolved(**now), print)
        assert words in str(refused.value)
