"""What the documents say is so: links, the tree, the files, the commands."""

import re
import shlex
import subprocess
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from raymoco.cli import app
from raymoco.config import RunConfig, load_run_config, preset_names
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.sweepfile.schema import sweep_schema

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("cluster/*.md")])
SWEEPS = sorted(ROOT.glob("sweeps/*.yaml"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors_of(path: Path) -> set[str]:
    """What a link to a heading may say, by GitHub's rule."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = [title.lower() for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w -]", "", title).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_relative_link_leads_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", text):
        if target.startswith(("http://", "https://")):
            continue
        found = path.parent / target if target else path
        assert found.exists(), f"{name_of(path)} links to {target}"
        if anchor:
            assert anchor in anchors_of(found), f"{name_of(path)} links to {target}#{anchor}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_no_document_names_a_place_on_somebodys_machine(path):
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"/(?:work|root|tmp)/\S+", text)


def test_the_tree_in_the_readme_is_the_tree():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```text\n(raymoco/.*?)```", text, re.DOTALL)
    lines = {line.split()[0]: line for line in block.splitlines() if line.strip()}
    for entry, line in lines.items():
        assert (ROOT / entry).is_dir(), f"README names {entry}"
        # in a line about a package, a word with a slash is a package in it
        inside = [
            ROOT / entry / word for word in re.findall(r"\b(\w+)/(?=\s|$)", line[len(entry) :])
        ]
        assert all(folder.is_dir() for folder in inside), line
    packages = [path.parent for path in (ROOT / "raymoco").glob("*/__init__.py")]
    for package in packages:
        entry = f"raymoco/{package.name}/"
        assert entry in lines, f"README leaves out {entry}"
        for below in package.glob("*/__init__.py"):
            assert f"{below.parent.name}/" in lines[entry], f"README leaves out {below.parent}"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    for folder in {path.split("/")[0] for path in tracked if "/" in path and path[0] != "."}:
        assert any(entry.startswith(f"{folder}/") for entry in lines), f"README leaves out {folder}"


@pytest.mark.parametrize("path", SWEEPS, ids=name_of)
def test_every_sweep_file_loads_and_validates_against_its_schema(path):
    load_sweep(path)
    jsonschema.validate(YAML(typ="safe").load(path.read_text()), sweep_schema())


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_validates_against_the_schema_of_a_run(name):
    values = YAML(typ="safe").load((ROOT / "raymoco" / "presets" / f"{name}.yaml").read_text())
    jsonschema.validate(values, RunConfig.model_json_schema())


def commands() -> list[str]:
    found = []
    for path in DOCUMENTS:
        for block in re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [line.split("#")[0].strip() for line in lines if "raymoco " in line]
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_in_the_documents_exists_and_takes_its_overrides(command):
    words = shlex.split(command)
    while Path(words[0]).name != "raymoco":
        words = words[1:]
    name, *rest = words[1:]
    called = [name, *rest[:1]] if name == "shards" else [name]
    assert CliRunner().invoke(app, [*called, "--help"]).exit_code == 0
    files = [word for word in rest if word.endswith(".yaml") and (ROOT / word).exists()]
    overrides = [word for word in rest if re.match(r"^[\w.]+=", word)]
    if name == "sweep":
        load_sweep(ROOT / files[0], overrides)
    elif name == "train" and (files or rest[0] in preset_names()):
        load_run_config(str(ROOT / files[0]) if files else rest[0], overrides)


def test_the_makefile_has_the_targets_that_the_readme_names():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z-]+)", text))
    assert {"demo", "test", "check"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def test_every_decision_is_in_the_index_and_in_its_order():
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index) == [path.name for path in DECISIONS]
    assert [path.name[:4] for path in DECISIONS] == [
        f"{number:04d}" for number in range(1, len(DECISIONS) + 1)
    ]


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_has_a_date_its_reasons_its_cost_and_what_would_change_it(path):
    title, _, date, *rest = path.read_text(encoding="utf-8").split("\n")
    index = (path.parent / "README.md").read_text(encoding="utf-8")
    assert title.startswith(f"# {path.name[:4]}. ")
    since = re.match(r"\d{4}-\d\d-\d\d", date)
    assert since is not None
    (row,) = [line for line in index.splitlines() if f"({path.name})" in line]
    assert row.endswith(f"| {title[8:]} | {since[0]} |")
    text = "\n".join(rest)
    for part in ("Context", "Decision", "What it costs", "What would change it"):
        assert f"**{part}.**" in text, part
    assert "**What else was " in text
