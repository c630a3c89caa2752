"""`make results`: its studies can run, and its tables land in the page and nowhere else."""

from __future__ import annotations

import pytest

from benchmarks.findings import PARTS, ROOT, Study, put, section, smaller
from raymoco.study.sweepfile.load import load_sweep
from tests.written_sweeps import ABLATION, SEARCH, write_ablation, write_search

STUDIES = [study for studies in PARTS.values() for study in studies]


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_study_can_run_whole_and_as_a_try_out(study):
    file = ROOT / "sweeps" / f"{study.file}.yaml"
    whole = load_sweep(file, [f"name={study.name}", *study.changes])
    quick = load_sweep(file, [f"name={study.name}", *study.changes, *smaller(study)])
    assert quick.spec.planned_trials < whole.spec.planned_trials
    if whole.ablation is not None:
        cells = {cell.name for cell in whole.ablation.cells}
        assert cells >= {cell for pair in study.also for cell in pair}
        assert cells >= set(study.published)


def test_every_study_has_a_folder_of_its_own():
    names = [study.name for study in STUDIES]
    assert len(set(names)) == len(names)


def test_a_section_has_what_the_sweeps_found_and_says_what_is_missing(tmp_path):
    write_ablation(tmp_path / "terms", ABLATION.replace("seeds:", "metric: test/knn_top1\nseeds:"))
    write_search(tmp_path / "found", SEARCH)
    both = "cross=on uniform=on"
    pair = ("cross=on uniform=off", both)
    text = section(
        [
            Study("terms", "Terms", "xmoco_terms", also=(pair,), published={both: "71.1"}),
            Study("found", "A search", "demo"),
            Study("other", "Another one", "queue"),
        ],
        tmp_path,
    )
    assert "### Terms" in text
    assert "commit unknown: 20 completed" in text
    assert "71.1" in text
    rows = [line for line in text.split("\n") if line.startswith("| cross=on uniform=off against")]
    assert len(rows) == 2  # kNN and linear
    assert "t000 against default" in text
    assert "### Another one\n\nNot run yet." in text


def test_only_the_section_of_a_part_is_replaced():
    page = put("# Findings\n\nMine.\n", "ladder", "old\n")
    page = put(page, "losses", "kept\n")
    again = put(page + "\nMine too.\n", "ladder", "new \\1\n")
    assert "old" not in again
    assert again.count("new \\1") == 1
    for mine in ("Mine.", "kept", "Mine too."):
        assert mine in again
    assert put(again, "ladder", "new \\1\n") == again
