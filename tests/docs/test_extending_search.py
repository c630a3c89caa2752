"""The sampler and the scheduler of docs/extending_search.md are what the page says they are."""

import re
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from raymoco.study.sweepfile.load import load_sweep

TEXT = (Path(__file__).parents[2] / "docs" / "extending_search.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def mylab(tmp_path, monkeypatch):
    package = tmp_path / "mylab"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "search.py").write_text("\n".join(one for one in CODE if "# mylab" in one))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    for name in ("mylab", "mylab.search"):
        sys.modules.pop(name, None)


def test_the_code_of_the_page_passes_the_suites_that_it_calls(mylab):
    calls = [one for one in CODE if "raymoco.testing" in one]
    assert len(calls) == 2
    for call in calls:
        exec(compile(call, "docs/extending_search.md", "exec"), {})


def test_the_sections_of_the_page_load(mylab, tmp_path):
    values = {"kind": "search", "name": "s", "run": {"preset": "digits", "epochs": 9}}
    values["search"] = {"optim.lr": {"loguniform": [0.01, 1]}}
    for block in BLOCKS:
        values |= YAML(typ="safe").load(block)
    assert {"sampler", "scheduler"} <= set(values)
    with (tmp_path / "s.yaml").open("w") as stream:
        YAML().dump(values, stream)
    spec = load_sweep(tmp_path / "s.yaml").spec
    assert spec.sampler.chosen.population_size == 12
    assert spec.scheduler.chosen.epochs == 3
