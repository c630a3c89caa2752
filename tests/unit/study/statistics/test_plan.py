"""The plan that a journal holds, and a sweep.yaml that was edited afterwards."""

import json

import pytest

from raymoco import report
from raymoco.study.report.findings import read_findings
from raymoco.study.statistics.judged import LATE_MARGIN
from raymoco.study.statistics.plan import plan_notes, plan_tags
from raymoco.study.sweepfile.load import load_sweep
from tests.written_sweeps import ABLATION, SEARCH, write_ablation

MARGIN = "margin: 0.02\n"


def near(cell, seed):
    """Cells that differ by a thousandth at most."""
    return 0.9 + 0.01 * seed + 0.0005 * ((seed + len(cell.name)) % 3)


def begun_with(folder, text):
    """A sweep of this file whose first driver recorded its plan."""
    write_ablation(folder, text, score=near)
    path = folder / "journal.jsonl"
    first, *others = path.read_text().splitlines(keepends=True)
    event = json.loads(first)
    event["tags"] |= plan_tags(load_sweep(folder / "sweep.yaml").spec)
    path.write_text(json.dumps(event) + "\n" + "".join(others))
    return folder


def verdicts(folder):
    return {row.verdict for row in read_findings(folder).comparisons.rows.values()}


def notes(folder):
    findings = read_findings(folder)
    return plan_notes(findings.sweep.spec, findings.ledger)


def test_a_margin_that_the_sweep_began_with_decides(tmp_path):
    folder = begun_with(tmp_path / "terms", ABLATION + MARGIN)
    assert verdicts(folder) == {"negligible"}
    assert notes(folder) == []


@pytest.mark.parametrize(
    ("began", "now", "said"),
    [("", MARGIN, "began with none"), ("margin: 0.01\n", MARGIN, "began with margin 0.01")],
)
def test_a_margin_that_was_edited_later_is_tested_but_decides_nothing(tmp_path, began, now, said):
    folder = begun_with(tmp_path / "terms", ABLATION + began)
    (folder / "sweep.yaml").write_text(ABLATION + now)
    assert verdicts(folder) == {"not resolved"}
    (note,) = notes(folder)
    assert said in note
    page = report(folder).html.read_text()
    assert said in page
    assert LATE_MARGIN in page
    assert "p TOST" in page
    for row in read_findings(folder).comparisons.rows.values():
        assert row.equivalence.p < 0.05


def test_a_margin_that_was_taken_out_is_told(tmp_path):
    folder = begun_with(tmp_path / "terms", ABLATION + MARGIN)
    (folder / "sweep.yaml").write_text(ABLATION)
    (note,) = notes(folder)
    assert "began with margin 0.02, which is not in the file any more" in note


def test_a_journal_of_version_0_1_does_not_say_and_the_report_tells(tmp_path):
    folder = write_ablation(tmp_path / "terms", ABLATION + MARGIN, score=near)
    assert verdicts(folder) == {"negligible"}
    (note,) = notes(folder)
    assert "did not record since when" in note
    assert note in report(folder).note.replace("\\", "")


def test_seeds_that_were_added_are_told(tmp_path):
    folder = begun_with(tmp_path / "terms", ABLATION)
    more = ABLATION.replace("[0, 1, 2, 3, 4]", "[0, 1, 2, 3, 4, 5, 6]")
    assert notes(folder) == []
    (folder / "sweep.yaml").write_text(more)
    (note,) = notes(folder)
    assert "5 seeds were planned, and 2 were added" in note


def test_looks_that_were_changed_are_told(tmp_path):
    planned = ABLATION.replace("seeds: [0, 1, 2, 3, 4]", "looks: [3, 5]")
    folder = begun_with(tmp_path / "terms", planned)
    (folder / "sweep.yaml").write_text(ABLATION)
    (note,) = notes(folder)
    assert "from 3, 5 (obrien_fleming) to none" in note


def test_a_search_has_no_plan(tmp_path):
    (tmp_path / "s.yaml").write_text(SEARCH)
    assert plan_tags(load_sweep(tmp_path / "s.yaml").spec) == {}
