"""What `--dry-run` says of seeds, points and the default, and what it refuses."""

import io

import pytest
from rich.console import Console

from raymoco.errors import InputError
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.terminal.dry_run import describe_sweep, never_resolved
from tests.small import small_sweep
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


AXES = "kind: search\nbudget: {trials: 12}\nsearch: {method.key_momentum: {choice: [0.5, 0.99]}}\n"


def described(file, *overrides):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(describe_sweep(load_sweep(file, overrides)))
    return console.export_text()


def test_the_number_of_points_and_a_default_off_its_axis_are_told(tmp_path):
    said = described(small_sweep(tmp_path / "s.yaml", AXES))
    assert "2 on these axes, each trained once: the budget of 12 trials will not be used up" in said
    assert (
        "none of the trials: method.key_momentum is 0.9, but its axis is one of 0.5, 0.99" in said
    )
    said = described(
        tmp_path / "s.yaml", "search={method.key_momentum: {uniform: [0.5, 0.95]}}", "name=t"
    )
    assert "on these axes" not in said
    assert "none of the trials" not in said


def test_labels_that_no_trial_would_see_are_refused_as_at_a_start(tmp_path):
    file = small_sweep(tmp_path / "s.yaml", AXES, eval__labels="visible")
    with pytest.raises(InputError, match="no training image has a visible label"):
        described(file, "run.data.labelled_fraction=0.001")
    axis = "search={data.labelled_fraction: {choice: [0.001, 0.5]}}"
    with pytest.raises(
        InputError, match=r"search\.data\.labelled_fraction: eval\.labels is visible"
    ):
        described(file, axis)
