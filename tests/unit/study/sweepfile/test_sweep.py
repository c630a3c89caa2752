"""What a search and an ablation answer by the same names."""

import pytest

from raymoco.errors import ConfigError
from raymoco.study.sweepfile.load import load_sweep
from raymoco.yamlfile import flatten

SEARCH = """\
kind: search
name: s
run: {preset: digits, epochs: 9}
search:
  method.loss: {choice: [unicon, info_nce]}
  method.positives: {choice: [sum, mean], when: {method.loss: unicon}}
budget: {trials: 7}
confirm: {top: 2, seeds: [7, 8]}
"""
ABLATION = """\
kind: ablation
name: s
question: Which loss?
run: {preset: digits, epochs: 9}
factors: {loss: {unicon: {method.loss: unicon}, info_nce: {method.loss: info_nce}}}
tune: {axes: {optim.lr: {loguniform: [0.01, 0.3]}}, trials: 3}
seeds: [0, 1]
metric: test/linear_top1
"""


@pytest.fixture(params=[SEARCH, ABLATION], ids=["search", "ablation"])
def sweep(request, tmp_path):
    (tmp_path / "s.yaml").write_text(request.param)
    return load_sweep(tmp_path / "s.yaml")


def both(sweep, of_search, of_ablation):
    return of_search if sweep.search is not None else of_ablation


def test_a_sweep_is_one_of_the_two(sweep):
    assert (sweep.search is None) != (sweep.ablation is None)
    assert both(sweep, sweep.search, sweep.ablation) is sweep.spec


def test_both_count_their_trials(sweep):
    spec = sweep.spec
    # the budget is 7, but there are 3 points: each is trained once
    assert spec.trials == both(sweep, 3, 2 * (2 + 3))
    assert spec.confirmations == both(sweep, (2 + 1) * 2, 0)
    assert spec.planned_trials == spec.trials + spec.confirmations
    assert spec.count_in_words(9) == both(
        sweep,
        "3 of 9 epochs, and 6 to confirm",
        "2 cells x 2 seeds, 9 epochs each, and 3 to tune each cell",
    )


def test_both_say_what_varies_and_what_is_sampled(sweep):
    sampled = ["method.loss", "method.positives"]
    assert sweep.axes == both(sweep, sampled, ["method.loss", "optim.lr"])
    assert list(sweep.space.axes) == both(sweep, sampled, ["optim.lr"])


def test_both_say_what_they_are_judged_and_tuned_by(sweep):
    spec = sweep.spec
    metric = both(sweep, "eval/knn_top1", "test/linear_top1")
    assert [objective.metric for objective in sweep.objectives] == [metric]
    assert spec.objective.metric == metric
    assert spec.tuned_on.metric == "eval/knn_top1"
    assert spec.question == both(sweep, "", "Which loss?")


def test_both_name_the_phase_of_a_trial(sweep):
    phases = [sweep.spec.phase_of(*said) for said in (("", ""), ("t001", ""), ("t001", "tune"))]
    assert phases == both(sweep, ["search", "confirm", "tune"], ["compare", "compare", "tune"])


def test_both_list_what_their_runs_must_accept(sweep):
    found = sweep.spec.extremes(flatten(sweep.base.model_dump()))
    loss = "method.loss"
    under = {loss: "unicon"}
    assert found == both(
        sweep,
        [
            ("search.method.loss", {loss: "unicon"}),
            ("search.method.loss", {loss: "info_nce"}),
            ("search.method.positives", {**under, "method.positives": "sum"}),
            ("search.method.positives", {**under, "method.positives": "mean"}),
        ],
        [
            (f"the cell 'loss={name}'", {loss: name, **end})
            for name in ("unicon", "info_nce")
            for end in ({}, {"optim.lr": 0.01}, {"optim.lr": 0.3})
        ],
    )


def loaded(folder, *overrides):
    (folder / "s.yaml").write_text(ABLATION.replace("seeds: [0, 1]\n", ""))
    return load_sweep(folder / "s.yaml", overrides).spec


@pytest.mark.parametrize(
    ("looks", "spending"),
    [
        ("[2, 4]", "obrien_fleming"),
        ("{seeds: [2, 4]}", "obrien_fleming"),
        ("{seeds: [2, 4], spending: bonferroni}", "bonferroni"),
    ],
)
def test_looks_give_the_seeds_and_the_resolved_file_reads_back(tmp_path, looks, spending):
    spec = loaded(tmp_path, f"looks={looks}")
    assert (spec.seeds, spec.looks.spending, spec.trials) == ((0, 1, 2, 3), spending, 2 * (4 + 3))
    assert spec.count_in_words(9).startswith("2 cells x 2 or 4 seeds, ")
    (tmp_path / "again.yaml").write_text(spec.to_yaml())
    assert load_sweep(tmp_path / "again.yaml").spec.to_yaml() == spec.to_yaml()


def test_without_looks_the_file_does_not_speak_of_them(tmp_path):
    spec = loaded(tmp_path)
    assert spec.seeds == (0, 1, 2, 3, 4)
    assert "looks" not in spec.to_yaml()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["looks=[4, 2]"], r"looks\.seeds are \[4, 2\], but each look must have more"),
        (["looks=[4]"], r"looks\.seeds are \[4\], but one look is no plan"),
        (["looks=[1, 4]"], r"looks\.seeds\.0 is 1, but must be greater than or equal to 2"),
        (["looks=[2, 4]", "seeds=[0, 1, 2]"], "seeds are 3, but the last look is at 4"),
        (["looks={seeds: [2, 4], spending: pocock}"], "looks.spending is 'pocock', but must be"),
    ],
)
def test_looks_that_are_no_plan_are_refused(tmp_path, overrides, words):
    with pytest.raises(ConfigError, match=words):
        loaded(tmp_path, *overrides)
