"""docs/extending.md: its code passes the suites, its files name it, from the folder it lies in."""

import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from raymoco.config import RunConfig
from raymoco.study.sweepfile.sweep import sweep_schema
from tests.extending_page import sweep_of_the_page, write_page


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    names = write_page(folder)
    assert {"mine.yaml", "test_mylab.py"} < set(names)
    (folder / "sweep.yaml").write_text(sweep_of_the_page())
    return folder


def run(lab, *command):
    return subprocess.run(
        command, cwd=lab, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_code_of_the_page_passes_the_suites_as_the_page_calls_them(lab):
    done = run(lab, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mylab.py")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_files_of_the_page_are_valid_for_an_editor(lab):
    values = YAML(typ="safe").load((lab / "mine.yaml").read_text())
    del values["preset"]
    jsonschema.validate(values, RunConfig.model_json_schema())
    jsonschema.validate(YAML(typ="safe").load((lab / "sweep.yaml").read_text()), sweep_schema())


def test_the_console_script_finds_the_code_beside_it_and_the_dry_run_accepts_it(lab):
    script = Path(sys.executable).with_name("raymoco")
    done = run(lab, str(script), "sweep", "sweep.yaml", "--dry-run", f"output={lab}/runs")
    assert done.returncode == 0, done.stderr
    assert "one of unicon, mylab.losses:Triplet" in done.stdout
