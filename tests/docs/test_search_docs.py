"""Every YAML block of docs/search.md is a sweep file, a part of one, or a run."""

import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from raymoco.config import load_run_config
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.sweepfile.schema import sweep_schema

TEXT = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
WHOLE = BLOCKS[0]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().split("\n")[0][:30])
def test_every_snippet_is_valid(tmp_path, block):
    path = tmp_path / "s.yaml"
    if "# raymoco-run" in block:
        path.write_text(block)
        assert load_run_config(str(path)).changes
        return
    values = YAML(typ="safe").load(block)
    if "kind" not in values:  # a part: laid over the first file of the page
        values = {**YAML(typ="safe").load(WHOLE), "scheduler": {"name": "none"}, **values}
        if isinstance(values["objective"], list):
            values["budget"] = {"trials": 24}
        if values["sampler"]["name"] == "cmaes":
            values["search"] = {**values["search"], "optim.lr": {"uniform": [0.01, 0.1]}}
    with path.open("w") as stream:
        YAML().dump(values, stream)
    load_sweep(path)
    jsonschema.validate(values, sweep_schema())


def test_the_samplers_and_schedulers_of_the_page_are_those_there_are():
    from raymoco.choices import SAMPLERS, SCHEDULERS

    rows = {
        line.split("|")[1].split("`")[1]: line for line in TEXT.splitlines() if line[:3] == "| `"
    }
    for name in SAMPLERS.choices:
        for option in SAMPLERS.load(name).Options.model_fields:
            assert f"`{option}`" in rows[name], f"{name} has {option}"
    for name in SCHEDULERS.choices:
        for option in SCHEDULERS.load(name).Options.model_fields:
            assert f"`{option}`" in rows[name], f"{name} has {option}"
