"""docs/contracts.md, held on what version 0.1 left behind, and on what it promised by name."""

from __future__ import annotations

import csv
import inspect
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

import raymoco
import raymoco.ssl
from raymoco.cli import app
from raymoco.config import load_run_config
from raymoco.study.journal.find import find
from raymoco.study.journal.ledger import load_ledger
from raymoco.study.journal.trials_csv import write_trials
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.terminal.status import read_status

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "v0_1"
SWEEPS = ("search", "ablation", "killed")
TEXT = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def v0_1(tmp_path_factory):
    """An output folder as version 0.1 left it; @OUTPUT@ in its files stands for the folder."""
    output = tmp_path_factory.mktemp("output") / "runs"
    shutil.copytree(FIXTURES, output)
    for path in output.rglob("*"):
        if path.suffix in (".yaml", ".jsonl", ".json", ".txt", ".log"):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace("@OUTPUT@", str(output)), encoding="utf-8")
    return output


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def holds(now: Any, then: Any) -> bool:
    """Whether every value of an old tree is in the new one."""
    if isinstance(then, dict):
        return all(key in now and holds(now[key], then[key]) for key in then)
    return bool(now == then)


def assert_holds(now: Path, then: Path) -> None:
    """Every row and column of an old table is in the new one, with the same text or number."""
    for new, old in zip(rows_of(now), rows_of(then), strict=True):
        for column, text in old.items():
            assert new[column] == text or float(new[column]) == pytest.approx(
                float(text), rel=1e-9
            ), f"{then.name}: {column}"


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_file_of_0_1_loads_and_says_the_same(v0_1, name):
    file = v0_1 / name / "sweep.yaml"
    old = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    assert holds(YAML(typ="safe").load(load_sweep(file).spec.to_yaml()), old)


@pytest.mark.parametrize("file", ["run/config.yaml", "search/best.yaml"])
def test_a_config_of_0_1_loads_with_every_value_that_it_has(v0_1, file):
    old = YAML(typ="safe").load((v0_1 / file).read_text(encoding="utf-8"))
    config = load_run_config(str(v0_1 / file))
    assert holds(YAML(typ="safe").load(config.to_yaml()), old)


@pytest.mark.parametrize("name", SWEEPS)
def test_trials_csv_of_0_1_is_made_again_from_its_journal(v0_1, name, tmp_path):
    folder = v0_1 / name
    sweep = load_sweep(folder / "sweep.yaml")
    ledger = load_ledger(folder / "journal.jsonl")
    write_trials(tmp_path / "trials.csv", ledger, sweep.axes, sweep.objectives)
    written = {row["trial_id"] for row in rows_of(folder / "trials.csv")}
    # a killed driver had not written the rows of what was proposed after the last end
    assert written <= {trial.trial_id for trial in ledger.all()}
    if name != "killed":
        assert_holds(tmp_path / "trials.csv", folder / "trials.csv")


def test_the_tables_of_an_ablation_of_0_1_are_made_again_by_its_report(v0_1, tmp_path):
    folder = tmp_path / "ablation"
    shutil.copytree(v0_1 / "ablation", folder)
    tables = ("cells.csv", "comparisons.csv", "effects.csv")
    for table in tables:
        (folder / table).unlink()
    assert raymoco.report(folder).html.exists()
    for table in tables:
        assert_holds(folder / table, v0_1 / "ablation" / table)


@pytest.mark.parametrize("name", [*SWEEPS, "run"])
def test_a_folder_of_0_1_is_shown_by_status(v0_1, name):
    found = read_status(find(str(v0_1 / name)))
    assert found.lines()
    assert found.to_dict()


def test_an_event_of_a_kind_that_this_version_does_not_know_is_skipped(v0_1, tmp_path):
    journal = tmp_path / "journal.jsonl"
    text = (v0_1 / "search" / "journal.jsonl").read_text(encoding="utf-8")
    journal.write_text(text + '{"time": 1.0, "event": "from_the_future", "trial_id": "t000"}\n')
    before = load_ledger(v0_1 / "search" / "journal.jsonl")
    assert [repr(trial) for trial in load_ledger(journal).all()] == [repr(t) for t in before.all()]


@pytest.mark.parametrize(
    "place", ["run", "search/checkpoints/t002", "killed/checkpoints/labels=none-s1"]
)
def test_a_checkpoint_of_0_1_loads(v0_1, place):
    encoder = raymoco.load_encoder(v0_1 / place)
    features = encoder.features(torch.zeros(2, 1, 8, 8))
    assert features.shape[0] == 2
    assert bool(features.isfinite().all())


SIGNATURES = {
    "info_nce": "query key queue temperature",
    "unified_contrastive": "query key queue labels queue_labels temperature positives",
    "sup_con": "query key queue labels queue_labels temperature form",
    "cross_consistency": "query key queue form temperature",
    "negative_uniformity": "query key labels form temperature",
    "KeyQueue": "size dim init",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_public_functions_take_their_arguments_in_the_promised_order(name):
    taken = list(inspect.signature(getattr(raymoco.ssl, name)).parameters)
    promised = SIGNATURES[name].split()
    assert taken[: len(promised)] == promised


def test_the_commands_of_0_1_are_there():
    from typer.main import get_command

    there = set(get_command(app).commands)  # type: ignore[attr-defined]
    wanted = "train sweep evaluate report export shards schema status sync ui"
    assert there >= set(wanted.split())


def test_each_contract_names_a_test_that_is_there():
    rows = [line for line in TEXT.splitlines() if line.startswith("| **")]
    assert len(rows) > 8
    for row in rows:
        tests = re.findall(r"\]\((\.\./tests/[^)]+)\)", row)
        assert tests, row[:40]
        assert all((ROOT / "docs" / test).exists() for test in tests), row[:40]


def test_a_citation_names_this_version_and_both_papers():
    found = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert found["cff-version"] == "1.2.0"
    assert str(found["version"]) == raymoco.__version__
    assert {"title", "message", "authors", "license"} <= found.keys()
    urls = [reference["url"] for reference in found["references"]]
    assert urls == ["https://arxiv.org/abs/2103.10773", "https://arxiv.org/abs/2206.04676"]


def test_the_changelog_begins_with_what_is_unreleased_and_knows_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert any(heading.startswith(f"{raymoco.__version__} - ") for heading in headings)
