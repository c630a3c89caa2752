"""Samplers and schedulers of somebody else's in a sweep file: found, checked, and refused."""

import sys
from pathlib import Path

import jsonschema
import pytest

from raymoco.errors import ConfigError
from raymoco.study.journal.find import find
from raymoco.study.report.findings import read_findings
from raymoco.study.sweepfile.load import load_sweep, read_sweep
from raymoco.study.sweepfile.schema import sweep_schema
from raymoco.yamlfile import read_yaml

THEIRS = Path(__file__).parents[3] / "fixtures" / "theirs"
SWEEP = """\
kind: search
name: s
run: {preset: digits, epochs: 9}
search:
  optim.lr: {loguniform: [0.01, 1]}
  method.temperature: {uniform: [0.1, 0.2]}
sampler:
  name: mylab_search:Evolution
  options:
    population_size: 6
scheduler:
  name: mylab_search:Patience
  options:
    epochs: 3
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(THEIRS))
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    yield tmp_path / "sweep.yaml"
    sys.modules.pop("mylab_search", None)


def test_somebody_elses_code_is_named_by_its_path_and_has_options_of_its_own(file):
    spec = load_sweep(file).spec
    assert spec.sampler.chosen.population_size == 6
    assert spec.scheduler.chosen.epochs == 3
    assert (spec.scheduler.stops, spec.scheduler.population) == (True, False)
    again = file.with_name("again.yaml")
    again.write_text(spec.to_yaml())
    assert load_sweep(again).spec == spec
    jsonschema.validate(read_yaml(again).values, sweep_schema())


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("mylab_search:Evolution", "mylab_searh:Evolution", 8, "no module 'mylab_searh'"),
        ("mylab_search:Evolution", "mylab_search:Evolutoin", 8, "did you mean 'Evolution'"),
        ("mylab_search:Evolution", "mylab_search:Longwinded", 8, "no sampler: build"),
        ("mylab_search:Evolution", "mylab_search:optuna", 8, "no sampler: it cannot be called"),
        ("mylab_search:Evolution", "mylab_search:Unfinished", 8, "abstract method '?build"),
        ("mylab_search:Evolution", "mylab_search:Patience", 8, "it is no sampler"),
        ("mylab_search:Evolution", "mylab_search:Broken", 8, "RuntimeError: no licence"),
        (
            "mylab_search:Evolution\n  options:\n    population_size: 6",
            "mylab_search:Empty",
            7,
            "no point",
        ),
        ("population_size: 6", "population_size: 1", 10, "population_size is 1"),
        ("population_size: 6", "popsize: 6", 10, "has no such option; it belongs to cmaes"),
        ("mylab_search:Patience", "mylab_search:patience", 12, "did you mean 'Patience'"),
        ("mylab_search:Patience", "mylab_search:UnfinishedScheduler", 12, "abstract method"),
        ("mylab_search:Patience", "patience", 12, "'none', or your own package.module:Name"),
        ("    epochs: 3", "    epoch: 3", 14, "did you mean 'epochs'"),
        ("name: mylab_search:Patience", "grace_epochs: 3\n  name: a:B", 11, "belong under options"),
        ("mylab_search:Patience", "median", 14, "median has no such option"),
        (
            "mylab_search:Patience\n  options:\n    epochs: 3",
            "asha\n  options: {grace_epochs: 3}",
            11,
            "set scheduler.grace_epochs instead",
        ),
    ],
)
def test_what_is_wrong_with_it_is_said_with_file_and_line(file, old, new, line, words):
    assert old in SWEEP
    file.write_text(SWEEP.replace(old, new))
    with pytest.raises(ConfigError, match=words) as caught:
        load_sweep(file)
    assert str(caught.value).startswith(f"{file}:{line}: ")


def test_a_sweep_that_has_run_is_read_where_their_code_is_not(file):
    spec = load_sweep(file).spec
    file.write_text(spec.to_yaml().replace("mylab_search", "gone"))
    (file.parent / "journal.jsonl").touch()
    with pytest.raises(ConfigError, match="no module 'gone'"):
        load_sweep(file)
    assert read_sweep(file).spec.sampler.name == "gone:Evolution"
    assert find(str(file.parent)).sweep.spec.trials == spec.trials
    assert read_findings(file.parent).importance is None


@pytest.mark.parametrize(
    ("scheduler", "good"),
    [
        ({"name": "mylab:Any", "options": {"epochs": 3}}, True),
        ({"name": "none", "options": {"epochs": 3}}, False),
        ({"options": {"epochs": 3}}, False),
        ({"name": "asha", "grace_epochs": 3, "options": {}}, True),
        ({"name": "asha", "options": {"grace_epochs": 3}}, False),
        ({"name": "ahsa"}, False),
    ],
)
def test_the_schema_knows_whose_options_stand_where(scheduler, good):
    values = {"kind": "search", "name": "s", "search": {"optim.lr": {"choice": [1, 2]}}}
    check = jsonschema.Draft202012Validator(sweep_schema())
    assert check.is_valid({**values, "scheduler": scheduler}) == good


def test_a_file_of_ours_is_written_as_version_0_1_wrote_it(file):
    file.write_text(SWEEP[: SWEEP.index("sampler:")] + "scheduler: {name: asha}\n")
    text = load_sweep(file).spec.to_yaml()
    scheduler = text[text.index("scheduler:") :].splitlines()
    assert [line.strip().partition(":")[0] for line in scheduler] == [
        "scheduler", "name", "grace_epochs", "reduction_factor", "min_trials", "every_epochs",
        "quantile", "resample",
    ]  # fmt: skip
