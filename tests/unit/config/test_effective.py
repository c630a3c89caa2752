"""What decides a result: each key is classified, and old runs keep their names."""

from pathlib import Path

import pytest

from raymoco.choices import LOSSES
from raymoco.config import RunConfig, load_run_config
from raymoco.config.effective import RULES, always, neutral
from raymoco.errors import ConfigError
from raymoco.yamlfile import dotted_keys

OLD_CONFIG = Path(__file__).parents[2] / "fixtures" / "v0_1" / "run" / "config.yaml"
SPREAD = {"use": "tests.somebodys:Spread", "weight": 0.5, "margin": 0.1}
IDLE = {**SPREAD, "weight": 0}


def leaves():
    keys = dotted_keys(RunConfig)
    return [key for key in keys if not any(other.startswith(f"{key}.") for other in keys)]


def test_every_key_of_a_config_is_classified_once():
    assert sorted(RULES) == sorted(leaves())


def test_a_key_that_may_decide_nothing_says_so_by_its_rule_and_not_by_its_name():
    for key, rule in RULES.items():
        neutral_section = key.split(".")[0] in ("name", "output", "tracking", "scale", "checkpoint")
        assert (rule is neutral) == neutral_section


# what 0.1 had in presets that were chosen anew since
OLD_PRESETS = {
    "digits": {
        "method.temperature": 0.1,
        "method.key_momentum": 0.99,
        "optim.lr": 0.06,
        "optim.batch_size": 256,
    },
    "imagenet_moco_v2": {"data.image_size": 224, "data.view_size": "null"},
    "imagenet_unimoco": {"data.image_size": 224, "data.view_size": "null"},
    "fashion_mnist": {
        "method.temperature": 0.1,
        "optim.lr": 0.06,
        "optim.batch_size": 256,
        "epochs": 20,
    },
}


# computed by the code of version 0.1
@pytest.mark.parametrize(
    ("preset", "overrides", "name"),
    [
        ("digits", [], "digits-unicon-0-08bda9f7"),
        ("digits", ["data.labelled_fraction=0.1"], "digits-unicon-0-3e85e242"),
        ("digits", ["method.loss=info_nce"], "digits-info_nce-0-55e457c3"),
        ("digits", ["method.loss=cross_entropy"], "digits-cross_entropy-0-585e4e36"),
        ("digits", ["method.cross_consistency.weight=1"], "digits-unicon-0-e4cda3e7"),
        ("digits", ["optim.lr=1"], "digits-unicon-0-312496f2"),
        ("digits", ["changes={1: {optim.lr: 0.2}}"], "digits-unicon-0-bb8c0303"),
        ("digits", ["model.backbone=resnet18"], "digits-unicon-0-768eaf5f"),
        ("cifar10", [], "cifar10-unicon-0-8b9d1e5d"),
        ("fashion_mnist", [], "fashion_mnist-unicon-0-ad67f095"),
        ("imagenet_moco_v2", [], "folder-info_nce-0-839a0e90"),
        ("imagenet_unimoco", [], "folder-unicon-0-f70d6ef5"),
        ("stl10", [], "stl10-unicon-0-13a29e86"),
    ],
)
def test_a_run_of_version_0_1_keeps_its_name(preset, overrides, name):
    then = [f"{key}={value}" for key, value in OLD_PRESETS.get(preset, {}).items()]
    assert load_run_config(preset, [*then, *overrides]).run_name == name


def test_the_config_of_an_old_run_loads_with_its_hash(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(OLD_CONFIG.read_text().replace("@OUTPUT@", str(tmp_path)))
    assert "terms" not in path.read_text()
    assert load_run_config(str(path)).digest() == "095a7723"


def test_terms_and_options_change_the_hash():
    plain = RunConfig()
    own = plain.with_values({"method.terms": {"spread": SPREAD}})
    assert own.digest() != plain.digest()
    assert own.with_values({"method.terms.spread.margin": 0.2}).digest() != own.digest()
    loss = {"name": "tests.somebodys:Contrast", "shift": 0.1}
    assert plain.with_values({"method.loss": loss}).run_name.startswith("digits-Contrast-0-")


def effective(**values):
    return RunConfig().with_values(values).effective()


def test_where_and_on_what_a_run_is_executed_decides_nothing():
    plain = effective()
    assert plain == effective(output="elsewhere", name="x", **{"checkpoint.keep": 7})
    assert not [key for key in plain if key.startswith(("scale", "tracking"))]


@pytest.mark.parametrize("key", [key for key, rule in RULES.items() if rule is always])
def test_what_always_decides_is_there(key):
    values = RunConfig().with_values({"changes": {1: {"optim.lr": 0.1}}}).effective()
    assert [one for one in values if one == key or one.startswith(f"{key}.")]


@pytest.mark.parametrize(
    ("base", "key", "decides"),
    [
        ({}, "method.positives", True),
        ({"method.loss": "sup_con_in"}, "method.positives", False),
        ({}, "model.width", True),
        ({"model.backbone": "resnet18"}, "model.width", False),
        ({}, "method.bn_groups", False),
        ({"method.batch_norm": "split"}, "method.bn_groups", True),
        ({"method.loss": "cross_entropy"}, "method.temperature", False),
        ({}, "method.cross_consistency.form", False),
        ({"method.cross_consistency.weight": 1}, "method.cross_consistency.form", True),
        ({"method.cross_consistency.weight": 1}, "method.cross_consistency.temperature", False),
        (
            {"method.cross_consistency.weight": 1, "method.cross_consistency.form": "queue_kl"},
            "method.cross_consistency.temperature",
            True,
        ),
        (
            {"changes": {3: {"method.cross_consistency.weight": 1}}},
            "method.cross_consistency.form",
            True,
        ),
        ({"method.loss": "info_nce"}, "data.labelled_fraction", False),
        (
            {"method.loss": "info_nce", "method.negative_uniformity.weight": 1},
            "data.labelled_fraction",
            True,
        ),
        (
            {"method.loss": "info_nce", "method.terms": {"spread": SPREAD}},
            "data.labelled_fraction",
            True,  # nobody looked: whether somebody's term uses labels is not known
        ),
        ({"method.loss": "tests.somebodys:Cosine"}, "data.labelled_fraction", True),
        ({"data.labelled_fraction": 0.5}, "data.label_seed", True),
        ({"data.labelled_fraction": 0}, "data.label_seed", False),
        ({"method.terms": {"spread": SPREAD}}, "method.terms.spread.margin", True),
        ({"method.terms": {"spread": IDLE}}, "method.terms.spread.margin", False),
        (
            {"method.terms": {"mine": {"use": "cross_consistency", "weight": 1, "temperature": 1,
                                       "form": "batch_pairs"}}},
            "method.terms.mine.temperature",
            False,
        ),
    ],
)  # fmt: skip
def test_a_key_decides_only_beside_others_that_let_it(base, key, decides):
    assert (key in effective(**base)) == decides


@pytest.mark.parametrize("loss", [n for n, one in LOSSES.choices.items() if one.without_labels])
def test_where_no_label_is_visible_a_loss_is_the_one_that_it_becomes(loss):
    values = {"method.loss": loss, "data.labelled_fraction": 0}
    assert effective(**values) == effective(**{**values, "method.loss": "info_nce"})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"terms": {"spread": {"use": "tests.somebodys:Spread"}}}, "method.terms.spread.weight"),
        ({"terms": {"spread": {"weight": 1}}}, "method.terms.spread needs `use`"),
        ({"terms": {"spread": {**SPREAD, "weight": -1}}}, "method.terms.spread.weight is -1"),
        ({"terms": {"loss": SPREAD}}, "would be logged as train/loss"),
        ({"terms": {"a.b": SPREAD}}, "method.terms"),
        ({"terms": {"spread": {**SPREAD, "use": "negative_uniformty"}}}, "'negative_uniformity'?"),
        ({"terms": {"spread": {**SPREAD, "name": "x"}}}, "the key for what it is, is `use`"),
        (
            {
                "terms": {"cross_consistency": {"weight": 1}},
                "cross_consistency": {"weight": 1},
            },
            "both have a weight above 0",
        ),
        ({"loss": {"name": "unicon", "positives": "mean"}}, "method.loss.positives"),
        ({"loss": {"margin": 1}}, "method.loss is a mapping, so it needs a name"),
        ({"loss": 3}, "method.loss is 3, but must be a name"),
        (
            {"loss": "cross_entropy", "terms": {"spread": SPREAD}},
            "cross_entropy, which has no keys",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(values, words):
    with pytest.raises(ConfigError) as refused:
        RunConfig().with_values({f"method.{key}": value for key, value in values.items()})
    assert words in str(refused.value)


def test_a_term_of_ours_needs_no_use_and_survives_its_yaml(tmp_path):
    config = RunConfig().with_values({"method.terms": {"negative_uniformity": {"weight": 0.5}}})
    path = tmp_path / "run.yaml"
    path.write_text(config.to_yaml())
    assert load_run_config(str(path)) == config
