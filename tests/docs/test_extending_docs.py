"""docs/extending.md: its code passes the suites, its files name it, from the folder it lies in."""

import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from raymoco.config import RunConfig
from raymoco.study.sweepfile.schema import sweep_schema
from tests.extending_page import parts_of_a_sweep, sweep_of_the_page, write_page

CONFIGS = ("birds.yaml", "noise.yaml", "judged.yaml")
TESTS = (
    "test_mylab.py", "test_source.py", "test_views.py", "test_sampler.py", "test_scheduler.py",
    "test_protocols.py", "test_trackers.py",
)  # fmt: skip
SEARCH = """\
kind: search
name: s
run: {preset: digits, epochs: 9}
search: {optim.lr: {loguniform: [0.01, 1]}}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    names = write_page(folder)
    assert {"mine.yaml", *CONFIGS, *TESTS} < set(names)
    assert len(names) == len(set(names)), "two blocks of the page have one name"
    (folder / "sweep.yaml").write_text(sweep_of_the_page())
    search = YAML(typ="safe").load(SEARCH)
    for block in parts_of_a_sweep():
        search |= YAML(typ="safe").load(block)
    assert {"sampler", "scheduler"} <= set(search)
    with (folder / "search.yaml").open("w", encoding="utf-8") as stream:
        YAML().dump(search, stream)
    return folder


def run(lab, *command):
    return subprocess.run(
        command, cwd=lab, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_code_of_the_page_passes_the_suites_as_the_page_calls_them(lab):
    done = run(lab, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS)
    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout


@pytest.mark.parametrize("file", ["mine.yaml", *CONFIGS])
def test_the_configs_of_the_page_name_code_that_is_there(lab, file):
    code = (
        "from raymoco.config import load_run_config\n"
        "from raymoco.engine.check_choices import check_choices\n"
        f"check_choices(load_run_config({file!r}))\n"
    )
    done = run(lab, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_the_sampler_and_the_scheduler_of_the_page_get_the_options_that_it_shows(lab):
    code = (
        "from pathlib import Path\nfrom raymoco.study.sweepfile.load import load_sweep\n"
        "spec = load_sweep(Path('search.yaml')).spec\n"
        "print(spec.sampler.chosen.population_size, spec.scheduler.chosen.epochs)\n"
    )
    done = run(lab, sys.executable, "-c", code)
    assert done.stdout == "12 3\n", done.stderr


def test_the_files_of_the_page_are_valid_for_an_editor(lab):
    for file in ("mine.yaml", *CONFIGS):
        values = YAML(typ="safe").load((lab / file).read_text())
        del values["preset"]
        jsonschema.validate(values, RunConfig.model_json_schema())
    for file in ("sweep.yaml", "search.yaml"):
        jsonschema.validate(YAML(typ="safe").load((lab / file).read_text()), sweep_schema())


def test_the_console_script_finds_the_code_beside_it_and_the_dry_run_accepts_it(lab):
    script = Path(sys.executable).with_name("raymoco")
    done = run(lab, str(script), "sweep", "sweep.yaml", "--dry-run", f"output={lab}/runs")
    assert done.returncode == 0, done.stderr
    assert "one of unicon, mylab.losses:Triplet" in done.stdout
