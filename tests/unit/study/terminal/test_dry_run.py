"""What `--dry-run` says of the seeds, without measuring a step."""

import pytest

from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.terminal.dry_run import never_resolved
from tests.written_sweeps import ABLATION, SEARCH


def said_of(tmp_path, text):
    (tmp_path / "s.yaml").write_text(text)
    return never_resolved(load_sweep(tmp_path / "s.yaml").spec)


@pytest.mark.parametrize("seeds", [3, 5, 6])
def test_too_few_seeds_for_the_exact_check_are_told_with_how_many_would_do(tmp_path, seeds):
    (said,) = said_of(tmp_path, ABLATION.replace("[0, 1, 2, 3, 4]", str(list(range(seeds)))))
    # 2 x 2 cells: 3 rows in each file; 2^-5 x 3 is above 0.05, 2^-6 x 3 below
    assert said.startswith(f"{seeds} seeds never resolve a row of comparisons.csv or effects.csv")
    assert said.endswith("x 3 rows; 7 seeds could")


def test_enough_seeds_are_not_spoken_of(tmp_path):
    assert said_of(tmp_path, ABLATION.replace("[0, 1, 2, 3, 4]", str(list(range(7))))) == []


def test_more_rows_need_more_seeds(tmp_path):
    level = "far: {method.negative_uniformity.weight: 1}"
    more = ABLATION.replace("    on:  {method.neg", f"    {level}\n    on:  {{method.neg")
    # 2 x 3 cells: 5 rows of cells; 1 + 2 main effects and 2 interactions
    (both,) = said_of(tmp_path, more)
    assert both.endswith("x 5 rows; 8 seeds could")
    (alone,) = said_of(tmp_path, more.replace("seeds:", "design: one_at_a_time\nseeds:"))
    assert alone.endswith("x 3 rows; 7 seeds could")


def test_with_looks_the_level_is_that_of_the_last(tmp_path):
    looks = "looks: {seeds: [3, 7], spending: bonferroni}"
    (said,) = said_of(tmp_path, ABLATION.replace("seeds: [0, 1, 2, 3, 4]", looks))
    # 2^-6 x 3 = 0.047 is below 0.05, but not below 0.025
    assert "7 seeds never resolve" in said
    assert said.endswith("8 seeds could")


def test_a_confirmation_has_seeds_too(tmp_path):
    (said,) = said_of(tmp_path, SEARCH)
    assert said.startswith("3 seeds never resolve a row of the confirmation")
    assert said.endswith("its smallest p is 0.25 x 2 rows; 7 seeds could")
    assert (
        said_of(tmp_path, SEARCH.replace("confirm: {top: 2, seeds: [100, 101, 102]}\n", "")) == []
    )
