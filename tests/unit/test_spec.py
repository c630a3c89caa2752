import json
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymoco.errors import ConfigError
from raymoco.study.space import Axis, short_name
from raymoco.study.sweepfile import load_sweep

DEMO = Path(__file__).parents[2] / "sweeps" / "demo.yaml"
MINIMAL = "kind: search\nname: s\nrun: {preset: digits, epochs: 9}\nsearch:\n"


def sweep_file(tmp_path, axes, more=""):
    path = tmp_path / "s.yaml"
    path.write_text(MINIMAL + "".join(f"  {line}\n" for line in axes.split("\n")) + more)
    return path


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ("method.temprature: {choice: [0.1]}", "did you mean 'method.temperature'"),
        ("scale.workers: {choice: [1, 2]}", "'scale.workers' is not an axis"),
        ("optim.lr: {loguniform: [0, 1]}", "both must be above 0"),
        ("optim.lr: {uniform: [1, 0.1]}", "the first must be the smaller"),
        ("optim.lr: {choice: [1], uniform: [0, 1]}", "but has uniform and choice"),
        ("optim.lr: {lognormal: [0, 1]}", "unknown key 'search.optim.lr.lognormal'"),
        ("optim.lr: {choice: []}", "must be a list of different values"),
        ("optim.lr: {choice: [fast]}", "optim.lr is 'fast'"),
        ("method.queue_size: {uniform: [1.5, 64]}", "method.queue_size is 1.5"),
        ("method.key_momentum: {uniform: [0.9, 1.1]}", "method.key_momentum is 1.1"),
    ],
)
def test_an_axis_that_no_run_has_is_refused_with_its_line(tmp_path, axis, words):
    path = sweep_file(tmp_path, axis)
    with pytest.raises(ConfigError) as caught:
        load_sweep(path)
    assert words in str(caught.value)
    assert f"{path}:5" in str(caught.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("objective: {metric: eval/knn_top}\n", "did you mean 'eval/knn_top1'"),
        ("objective: {metric: test/knn_top1}\n", "must not be searched on"),
        ("scheduler: {name: asha, grace_epochs: 9}\n", "nothing would ever be stopped"),
        ("budget: {trails: 3}\n", "did you mean 'budget.trials'"),
        ("confirm: {top: 1, seeds: [1]}\n", "confirm.seeds"),
        ("kind: search\n", "found duplicate key"),
    ],
)
def test_a_sweep_file_that_cannot_be_meant_is_refused(tmp_path, more, words):
    with pytest.raises(ConfigError, match=words):
        load_sweep(sweep_file(tmp_path, "optim.lr: {choice: [0.1, 0.2]}", more))


def test_what_belongs_to_the_whole_sweep_is_refused_inside_the_run(tmp_path):
    path = sweep_file(tmp_path, "optim.lr: {choice: [0.1]}")
    with pytest.raises(ConfigError, match="set gang instead"):
        load_sweep(path, ["run.scale.workers=2"])


def test_overrides_address_the_file_and_an_axis_is_one_key():
    loaded = load_sweep(
        DEMO, ["budget.trials=3", "run.epochs=17", "search.optim.lr={choice: [0.1, 0.3]}"]
    )
    assert (loaded.spec.budget.trials, loaded.base.epochs) == (3, 17)
    assert loaded.spec.search["optim.lr"].choice == [0.1, 0.3]


def test_the_resolved_file_repeats_the_sweep(tmp_path):
    loaded = load_sweep(DEMO, ["budget.trials=3"])
    path = tmp_path / "sweep.yaml"
    path.write_text(loaded.spec.to_yaml())
    assert load_sweep(path) == loaded


@given(low=st.floats(0.001, 1), factor=st.floats(1.01, 1000), number=st.integers(0, 50))
def test_an_or_axis_is_its_value_or_lies_in_its_range(low, factor, number):
    axis = Axis.model_validate({"loguniform": [low, low * factor], "or": 0})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number))
    value = axis.suggest(study.ask(), "w")
    assert value == 0 or low <= value <= low * factor


def test_a_name_says_what_varies():
    values = {"method.temperature": 0.1, "method.queue_size": 256, "method.key_momentum": 0.99}
    assert short_name(values) == "T=0.1 K=256 m=0.99"


def test_the_schema_accepts_the_demo_and_refuses_a_typo():
    import jsonschema
    from ruamel.yaml import YAML

    from raymoco.study.spec import sweep_schema

    schema = sweep_schema()
    values = json.loads(json.dumps(YAML(typ="safe").load(DEMO.read_text())))
    jsonschema.validate(values, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "budgte": {}}, schema)
