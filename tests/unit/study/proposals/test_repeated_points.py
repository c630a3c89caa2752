"""A search trains each point once: what its sampler repeats is not trained again."""

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from raymoco.study.journal.events import Ended, Proposed, TrialState
from raymoco.study.journal.ledger import Ledger
from raymoco.study.journal.points import (
    REPEATS,
    points_words,
    proposals_in_all,
    proposals_left,
    skipped_words,
)
from raymoco.study.proposals.optuna_study import TRIES, OptunaProposals
from raymoco.study.proposals.remaining import beyond_budget, trainings_left
from raymoco.study.proposals.repeats import open_proposals
from raymoco.study.statistics.stopping import planned_trials
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.sweepfile.sampler_options import Sampler
from raymoco.study.sweepfile.search_sampler import SearchSampler
from raymoco.study.sweepfile.search_space import SearchSpace, point_id
from raymoco.study.sweepfile.sections import Objective
from tests.unit.study.proposals.test_optuna_study import study_of, trials_of
from tests.unit.study.proposals.test_repeats import Driver

BASE = {"size": 64, "m": 0.9, "lr": 0.5, "weight": 0.0, "form": "kl"}
PLAIN = {"size": {"choice": [64, 128]}, "m": {"choice": [0.9, 0.99]}}
# an int range, a float range with a step, an `or` that lies in its range, and a condition
KINDS = {
    "size": {"int": [1, 2]},
    "lr": {"uniform": [0.1, 0.3], "step": 0.1},
    "weight": {"uniform": [0, 1], "step": 1, "or": 0},
    "form": {"choice": ["kl", "entropy"], "when": {"weight": {"not": 0}}},
}
ENDLESS = {"size": {"choice": [64, 128]}, "weight": {"loguniform": [0.1, 1], "or": 0}}
SEARCH = """\
kind: search
name: s
run: {preset: digits, epochs: 2}
search: {method.queue_size: {choice: [64, 128]}, method.key_momentum: {choice: [0.9, 0.99]}}
budget: {trials: 12}
"""


class Same(SearchSampler):
    """Draws the same point over and over."""

    def build(self, options, trial):
        return optuna.samplers.RandomSampler(seed=trial.seed)


def space_of(axes):
    return SearchSpace({key: Axis.model_validate(axis) for key, axis in axes.items()}, BASE)


def search(folder, axes, name="random", budget=99, first=(), **more):
    folder.mkdir(exist_ok=True)
    sampler = Sampler(name=name, seed=1, startup_trials=2)
    objectives = [Objective.model_construct(metric="score", mode="max")]
    return OptunaProposals(
        "s", space_of(axes), objectives, sampler, budget, 0, folder / "optuna.log", first=first,
        **more,
    )  # fmt: skip


def play(asked, trials=999):
    seen = []
    while len(seen) < trials and (proposal := asked.ask()) is not None:
        score = float(proposal.values.get("size", 0)) + float(proposal.values.get("m", 0))
        asked.tell(proposal, "completed", {1: {"epoch": 1, "score": score}})
        seen.append((proposal.trial_id, proposal.values))
    return seen


@pytest.mark.parametrize("axes", [PLAIN, KINDS], ids=["plain", "kinds"])
@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "qmc", "random", "grid"])
def test_a_finite_space_ends_when_each_point_is_tried_once(tmp_path, name, axes):
    if name == "cmaes" and axes is PLAIN:
        pytest.skip("it moves no choices")
    points = space_of(axes).grid()
    seen = play(search(tmp_path, axes, name, first=points if name == "grid" else ()))
    assert [trial_id for trial_id, _ in seen] == [f"t{n:03d}" for n in range(len(points))]
    assert {point_id(values) for _, values in seen} == set(map(point_id, points))
    # each trial's score went to its own place in the study, and nothing stays open
    trained = trials_of(tmp_path)
    assert [trial.state for trial in trained] == [OptunaState.COMPLETE] * len(points)
    space = space_of(axes)
    assert [space.suggest(trial) for trial in trained] == [values for _, values in seen]
    assert {trial.state for trial in study_of(tmp_path)} <= {OptunaState.COMPLETE, OptunaState.FAIL}


@pytest.mark.parametrize("name", ["tpe", "qmc", "random"])
def test_a_search_that_is_reopened_asks_what_an_undisturbed_one_asks(tmp_path, name):
    whole = play(search(tmp_path / "a", KINDS, name))
    parts = []
    while part := play(search(tmp_path / "b", KINDS, name), trials=2):
        parts += part
    assert parts == whole
    assert (
        search(tmp_path / "a", KINDS, name).skipped == search(tmp_path / "b", KINDS, name).skipped
    )


def test_a_sampler_that_repeats_for_ever_gets_untried_points_of_an_endless_space(tmp_path):
    seen = play(search(tmp_path, ENDLESS, f"{__name__}:Same", budget=9))
    assert len({point_id(values) for _, values in seen}) == len(seen) == 9
    skipped = [trial for trial in study_of(tmp_path) if REPEATS in trial.user_attrs]
    assert len(skipped) == 8 * TRIES
    assert {trial.user_attrs[REPEATS] for trial in skipped} == {"t000"}


def test_points_to_try_first_are_had_once_and_keep_what_they_fix(tmp_path):
    first = [BASE, {"size": 64.0, "m": 0.9}, {"size": 64}, {"size": 128}, {"size": 128}]
    seen = [values for _, values in play(search(tmp_path, PLAIN, first=first))]
    assert seen[0] == {"size": 64, "m": 0.9}
    assert seen[1] == {"size": 64, "m": 0.99}  # the own point is left out, and the next fixes 64
    assert [values["size"] for values in seen[2:]] == [128, 128]


def test_what_is_left_of_a_fixed_value_comes_before_other_points(tmp_path):
    axes = {"size": {"choice": [64, 128]}, "m": {"choice": list(range(50))}}
    first = [{"size": 128, "m": n} for n in range(49)] + [{"size": 128}]
    seen = [values for _, values in play(search(tmp_path, axes, first=first), trials=50)]
    assert seen[-1] == {"size": 128, "m": 49}


def test_the_trials_of_another_sweep_were_of_another_run(tmp_path):
    play(search(tmp_path / "old", PLAIN))
    warm = [
        optuna.trial.create_trial(
            value=trial.value,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={"raymoco.warm_start": f"old {trial.number}"},
        )
        for trial in trials_of(tmp_path / "old")
    ]
    seen = play(search(tmp_path / "new", PLAIN, "tpe", warm=lambda: warm))
    assert [trial_id for trial_id, _ in seen] == ["t000", "t001", "t002", "t003"]


def test_a_kill_in_the_middle_of_a_skip_leaves_nothing_open(tmp_path):
    asked = search(tmp_path, PLAIN)
    (first,) = play(asked, trials=1)
    trial = asked._study.ask(space_of(PLAIN).distributions())
    trial.set_user_attr(REPEATS, first[0])
    again = search(tmp_path, PLAIN)
    assert study_of(tmp_path)[1].state == OptunaState.FAIL
    assert [trial_id for trial_id, _ in play(again)] == ["t001", "t002", "t003"]


def played(folder, ends, *overrides, text=SEARCH):
    """A search of which so many trials have ended, in these states; the ledger knows them."""
    driver = Driver(folder, *overrides, text=text)
    for state in ends:
        driver.train(driver.ask(), 0.5, state)
    return driver


def test_what_ctrl_c_stopped_may_come_again_and_what_failed_or_was_pruned_does_not(tmp_path):
    ends = [TrialState.STOPPED, TrialState.FAILED, TrialState.PRUNED]
    first = played(tmp_path, ends)
    stopped, failed, pruned = (trial.values for trial in first.ledger.all())
    assert proposals_left(first.sweep.search, first.ledger) == 2
    again = Driver(tmp_path, ledger=first.ledger, text=SEARCH)
    asked = []
    while (proposal := again.ask()) is not None:
        asked.append(proposal.values)
        again.train(proposal, 0.6)
    assert len(asked) == 2
    assert stopped in asked
    assert failed not in asked
    assert pruned not in asked
    assert proposals_left(again.sweep.search, again.ledger) == 0


def test_a_search_says_that_every_point_is_tried_and_how_often_one_was_repeated(tmp_path):
    driver = Driver(tmp_path, text=SEARCH)
    spec = driver.sweep.search
    assert (spec.points, spec.proposals, spec.budget.trials) == (4, 4, 12)
    assert (trainings_left(spec, driver.ledger), points_words(spec, driver.ledger)) == (4, "")
    driver.play(lambda proposal: 0.5)
    assert points_words(spec, driver.ledger) == (
        "every point of the axes is tried: there are 4, and each is trained once; the budget of 12 "
        "trials is not used up"
    )
    skipped = len(study_of(tmp_path)) - 4
    assert skipped == driver.proposals.skipped > 1
    assert skipped_words(tmp_path).startswith(f"{skipped} draws of the sampler repeated")
    assert planned_trials(driver.sweep, driver.ledger) == 4


def test_a_search_of_fewer_trials_than_points_ends_by_its_budget(tmp_path):
    driver = Driver(tmp_path, "budget.trials=3", text=SEARCH)
    driver.play(lambda proposal: 0.5)
    assert len(driver.ledger.trials) == 3
    assert points_words(driver.sweep.search, driver.ledger) == ""
    assert skipped_words(tmp_path / "nothing") == ""


def test_each_of_several_seeds_is_trained_at_each_point_once(tmp_path):
    driver = Driver(tmp_path, "repeats=2", text=SEARCH)
    assert driver.sweep.spec.count_in_words(2).startswith("4 proposals x 2 seeds")
    assert len(driver.play(lambda p: 0.5 + 0.1 * (p.repeat or -int(p.proposal[1:])))) == 8
    assert planned_trials(driver.sweep, driver.ledger) == 8


def repeated_before(ledger, values):
    """Trials as a version wrote them that trained a point as often as it was drawn."""
    for number, one in enumerate(values):
        about = {"trial_id": f"t{number:03d}"}
        ledger.apply(Proposed(**about, values=one, seed=0, cell=""))
        ledger.apply(Ended(**about, state=TrialState.COMPLETED, reason=""))


def test_an_older_search_that_repeated_points_goes_on_with_those_that_it_lacks(tmp_path):
    (tmp_path / "s.yaml").write_text(SEARCH)
    sweep = load_sweep(tmp_path / "s.yaml")
    study = optuna.create_study(
        study_name="s",
        direction="maximize",
        storage=optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(tmp_path / "optuna.log"))
        ),
    )
    grid, ledger = sweep.space.grid(), Ledger()
    values = [grid[0], grid[0], grid[1], grid[0], grid[1]]
    for one in values:
        study.enqueue_trial(one)
        trial = study.ask()
        sweep.space.suggest(trial)
        study.tell(trial, 0.5)
    repeated_before(ledger, values)
    spec = sweep.search
    assert proposals_left(spec, ledger) == 2
    assert proposals_in_all(spec, ledger) == 7
    proposals = open_proposals(sweep, sweep.base, tmp_path, ledger, ledger.apply)
    asked = [proposals.ask(), proposals.ask()]
    assert [p.trial_id for p in asked] == ["t005", "t006"]
    assert {point_id(p.values) for p in asked} == {point_id(p) for p in grid[2:]}
    assert proposals.ask() is None
    whole = Ledger()
    repeated_before(whole, [grid[n % 4] for n in range(12)])
    assert proposals_left(spec, whole) == 0
    assert planned_trials(sweep, whole) == 12  # "12 of 12 ended", not "12 of 4"
    assert beyond_budget(spec, whole) == []
