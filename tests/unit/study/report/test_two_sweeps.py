"""Two sweeps against each other: only what means the same in both is paired."""

import math
import re

import pytest

from raymoco import report
from raymoco.errors import InputError
from tests.report_pages import text_of
from tests.written_sweeps import ABLATION, SEARCH, write_ablation, write_search

LONGER = ABLATION.replace("name: terms", "name: longer")


def answers(found):
    return re.findall(r"<li>([^<]*)</li>", text_of(found))


def test_two_sweeps_are_compared_by_common_cells_and_seeds(tmp_path):
    first = write_ablation(tmp_path / "terms")
    text = ABLATION.replace("name: terms", "name: longer").replace("epochs: 5", "epochs: 9")
    second = write_ablation(tmp_path / "longer", text)
    found = report(first, second)
    assert found.folder == second / "against-terms"
    page = text_of(found)
    assert "longer instead of terms, in cross=off uniform=off changes nothing" in page
    assert "run: {preset: digits, epochs: 9}" in page
    searched = write_search(tmp_path / "found")
    assert "nothing can be compared" in text_of(report(first, searched))


def test_of_two_searches_only_the_default_is_paired(tmp_path):
    other = SEARCH.replace("name: found", "name: other")
    first = write_search(tmp_path / "found")
    found = report(first, write_search(tmp_path / "other", other))
    said = answers(found)
    assert said[0].startswith("other instead of found, in default")
    assert not [sentence for sentence in said if "t000" in sentence], "t000 is two trials"


def test_cells_of_one_name_that_set_other_values_are_left_out(tmp_path):
    hotter = LONGER.replace("cross_consistency.weight: 1.0", "cross_consistency.weight: 3.0")
    found = report(write_ablation(tmp_path / "terms"), write_ablation(tmp_path / "longer", hotter))
    said = answers(found)
    paired = [sentence for sentence in said if "instead of terms" in sentence]
    assert len(paired) == 2
    assert not [sentence for sentence in paired if "cross=on" in sentence]
    assert (
        "Left out, for they set other values in each: cross=on uniform=off, cross=on uniform=on."
        in said
    )


def test_two_sweeps_of_one_name_are_told_apart_by_their_folders(tmp_path):
    first = write_ablation(tmp_path / "old/runs/terms")
    second = write_ablation(tmp_path / "new/runs/terms", score=lambda cell, seed: 0.5)
    found = report(first, second)
    assert found.folder == second / "against-old-runs-terms"
    assert answers(found)[0].startswith("new/runs/terms instead of old/runs/terms, in ")
    curves = (found.folder / "figures/learning-curves.svg").read_text()
    for name in ("old", "new"):
        assert len(re.findall(rf"{name}/runs/terms: cross=", curves)) == 4
    with pytest.raises(InputError, match="given twice"):
        report(first, first)


def test_trials_that_ended_without_a_score_are_lost_pairs(tmp_path):
    def score(cell, seed):
        whole = cell.levels["cross"] == "on" or (cell.levels["uniform"] == "on" and seed != 2)
        return 0.9 + 0.01 * seed if whole else math.nan

    first = write_ablation(tmp_path / "terms")
    found = report(first, write_ablation(tmp_path / "longer", LONGER, score=score))
    one, dead = (
        next(sentence for sentence in answers(found) if f"in cross=off uniform={level}" in sentence)
        for level in ("on", "off")
    )
    assert one.endswith("1 pair was lost to failed trials.")
    assert dead.endswith(
        "Fewer than two seeds finished in both. 5 pairs were lost to failed trials."
    )


def test_a_seed_that_one_sweep_never_had_is_no_lost_pair(tmp_path):
    more = LONGER.replace("seeds: [0, 1, 2, 3, 4]", "seeds: [0, 1, 2, 3, 4, 5]")
    second = write_ablation(tmp_path / "longer", more, failed=("cross=on_uniform=on-s5",))
    found = report(write_ablation(tmp_path / "terms"), second)
    assert "lost to failed" not in text_of(found)


def test_the_error_of_the_images_is_said_and_no_brackets_are_empty(tmp_path):
    second = write_ablation(tmp_path / "longer", LONGER, score=lambda cell, seed: 0.9 + 0.01 * seed)
    found = report(write_ablation(tmp_path / "terms"), second)
    assert re.search(
        r"on 148 eval images an accuracy of 0\.9\d* is known to ±0\.0", answers(found)[-1]
    )
    for text in (found.note, (found.folder / "report.md").read_text()):
        assert "\n()" not in text
