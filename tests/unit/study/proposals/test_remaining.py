"""What a resumed sweep still has to run, from its file and its journal."""

import pytest

from raymoco.study.journal.events import Assigned, Ended, Proposed, Reported, TrialState
from raymoco.study.journal.ledger import Ledger
from raymoco.study.proposals.remaining import beyond_budget, open_trials, trials_left
from raymoco.study.sweepfile.load import load_sweep

CONFIRMED = """\
kind: search
name: s
run: {preset: digits, epochs: 2, method: {temperature: 0.1}}
search: {method.temperature: {loguniform: [0.05, 0.5]}}
budget: {trials: 2}
confirm: {top: 1, seeds: [7, 8]}
"""
CELLS = """\
kind: ablation
name: s
run: {preset: digits, epochs: 2}
factors: {loss: {unicon: {method.loss: unicon}, info_nce: {method.loss: info_nce}}}
seeds: [0, 1]
"""


def sweep_of(folder, text, *overrides):
    (folder / "s.yaml").write_text(text)
    return load_sweep(folder / "s.yaml", overrides)


def train(ledger, trial_id, values, score, cell="", seed=0, state="completed", reason=""):
    about = {"trial_id": trial_id, "values": values, "cell": cell, "seed": seed}
    row = {"epoch": 2, "eval/knn_top1": score, "test/knn_top1": score}
    for event in (
        Proposed(**about),
        Assigned(trial_id=trial_id, attempt=1, gang="g0"),
        Reported(trial_id=trial_id, row=row, checkpoint=None),
        Ended(trial_id=trial_id, state=TrialState(state), reason=reason),
    ):
        ledger.apply(event)


def test_a_better_trial_of_a_resumed_search_is_confirmed_itself(tmp_path):
    ledger = Ledger()
    for number, score in enumerate((0.7, 0.8)):
        train(ledger, f"t00{number}", {"method.temperature": 0.2 + number / 10}, score)
    first = open_trials(sweep_of(tmp_path, CONFIRMED), tmp_path, ledger)
    assert [p.trial_id for p in first] == ["default-s7", "t001-s7", "default-s8", "t001-s8"]
    for p in first:
        train(ledger, p.trial_id, p.values, 0.8, p.cell, p.seed)
    more = sweep_of(tmp_path, CONFIRMED, "budget.trials=3")
    train(ledger, "t002", {"method.temperature": 0.07}, 0.9)
    second = open_trials(more, tmp_path, ledger)
    assert [(p.trial_id, p.values) for p in second] == [
        ("t002-s7", {"method.temperature": 0.07}),
        ("t002-s8", {"method.temperature": 0.07}),
    ]


def test_where_only_the_run_as_it_stands_was_completed_nothing_is_confirmed(tmp_path):
    ledger = Ledger()
    train(ledger, "t000", {"method.temperature": 0.1}, 0.9)
    train(ledger, "t001", {"method.temperature": 0.2}, 0.7, state="pruned")
    assert open_trials(sweep_of(tmp_path, CONFIRMED), tmp_path, ledger) == []


@pytest.mark.parametrize("reason", ["interrupted", "the budget of 1 hours is used up"])
def test_a_cell_that_was_stopped_goes_on(tmp_path, reason):
    sweep, ledger = sweep_of(tmp_path, CELLS), Ledger()
    proposals = open_trials(sweep, tmp_path, ledger)
    for number, p in enumerate(proposals):
        state = {"state": "stopped", "reason": reason} if number == 1 else {}
        train(ledger, p.trial_id, p.values, 0.8, p.cell, p.seed, **state)
    (again,) = open_trials(sweep, tmp_path, ledger)
    assert (again.trial_id, again.attempt) == (proposals[1].trial_id, 2)


def test_a_stopped_trial_of_a_search_is_over_and_a_stopped_member_is_not(tmp_path):
    ledger = Ledger()
    train(ledger, "t000", {}, 0.7, state="stopped", reason="interrupted")
    search = sweep_of(tmp_path, CONFIRMED)
    population = sweep_of(tmp_path, CONFIRMED, "scheduler={name: pbt, every_epochs: 1}")
    assert trials_left(search.spec, ledger) == 1
    assert trials_left(population.spec, ledger) == 2


def test_a_lowered_budget_keeps_the_first_of_those_that_a_kill_interrupted(tmp_path):
    ledger = Ledger()
    train(ledger, "t000", {}, 0.7)
    for trial_id in ("t001", "t002"):
        train(ledger, trial_id, {}, 0.7, state="running")
        ledger.trials[trial_id].ended = None
    for budget, surplus in ((3, []), (2, ["t002"]), (1, ["t001", "t002"])):
        spec = sweep_of(tmp_path, CONFIRMED, f"budget.trials={budget}").spec
        assert [p.trial_id for p in beyond_budget(spec, ledger)] == surplus
