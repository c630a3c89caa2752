"""One suite for every sampler, and what a search adds to it: points, conditions, other sweeps."""

import errno
import math
import os

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState as OptunaState

from raymoco.errors import ConfigError, DiskFullError
from raymoco.study.journal.events import Ended, Proposed, Reported, TrialState
from raymoco.study.journal.ledger import Ledger
from raymoco.study.journal.points import REPEATS
from raymoco.study.proposals.optuna_study import OptunaProposals
from raymoco.study.proposals.warm_start import load_warm_start
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.sampler_options import Sampler
from raymoco.study.sweepfile.search_space import SearchSpace
from raymoco.study.sweepfile.sections import Objective
from raymoco.testing import check_sampler
from raymoco.testing.samplers import AXES, BASE, FINITE_AXES
from tests.full_disk import room

SAMPLERS = [
    Sampler(name="tpe", seed=3, startup_trials=3),
    Sampler(name="tpe", seed=3, startup_trials=3, options={"group": False}),
    Sampler(name="random", seed=3),
    Sampler(name="cmaes", seed=3, startup_trials=3, options={"popsize": 4}),
    Sampler(name="cmaes", seed=3, startup_trials=3, options={"with_margin": True}),
    Sampler(name="qmc", seed=3),
    Sampler(name="qmc", seed=3, options={"qmc_type": "halton", "scramble": True}),
    Sampler(name="gp", seed=3, startup_trials=3),
    Sampler(name="grid", seed=3),
]
TRIALS = 12


def each(which=lambda sampler: True):
    """Run a test with every sampler of which that is true."""
    some = [sampler for sampler in SAMPLERS if which(sampler)]
    return pytest.mark.parametrize("sampler", some, ids=lambda s: "-".join([s.name, *s.options]))


EACH = each()


def axes_of(sampler):
    return FINITE_AXES if sampler.name == "grid" else AXES


def space_of(axes):
    return SearchSpace({key: Axis.model_validate(axis) for key, axis in axes.items()}, BASE)


def size_of(sampler):
    return 3 * 2 * (2 + 1) if sampler.name == "grid" else TRIALS


def search(folder, sampler, axes=None, metrics=("score",), first=(), **more):
    folder.mkdir(exist_ok=True)
    space = space_of(axes or axes_of(sampler))
    points = [BASE, *first, *(space.grid() if sampler.name == "grid" else [])]
    objectives = [Objective.model_construct(metric=metric, mode="max") for metric in metrics]
    trials = len(points) if sampler.name == "grid" else TRIALS
    return OptunaProposals(
        "s", space, objectives, sampler, trials, 0, folder / "optuna.log", first=points, **more
    )


def curve_of(values, epochs=2):
    score = -((math.log10(values["lr"]) + 1) ** 2) + 0.1 * (values["loss"] == "unicon")
    return {e: {"epoch": e, "score": score * e, "speed": values["size"]} for e in range(1, epochs)}


def play(search, trials=99):
    """Ask and tell, every third trial pruned; what was asked."""
    seen = []
    while len(seen) < trials and (proposal := search.ask()) is not None:
        pruned = int(proposal.trial_id[1:]) % 3 == 2 and len(search.objectives) == 1
        rows = curve_of(proposal.values, epochs=2 if pruned else 3)
        search.tell(proposal, "pruned" if pruned else "completed", rows)
        seen.append((proposal.trial_id, proposal.values))
    return seen


def study_of(folder):
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
    return optuna.load_study(study_name="s", storage=storage).get_trials()


def trials_of(folder):
    """Those that became trials: not the draws that repeated one."""
    return [trial for trial in study_of(folder) if REPEATS not in trial.user_attrs]


@EACH
def test_a_sampler_keeps_what_every_sampler_must(sampler):
    check_sampler(sampler.name, sampler.options, axes=axes_of(sampler))


@each(lambda s: s.name != "grid" and (s.name != "qmc" or s.options))
def test_another_seed_asks_for_something_else(tmp_path, sampler):
    other = sampler.model_copy(update={"seed": 4})
    assert play(search(tmp_path / "a", sampler)) != play(search(tmp_path / "b", other))


@each(lambda s: s.name == "grid" or (s.name == "qmc" and not s.options))
def test_a_grid_and_an_unscrambled_sequence_are_the_same_for_every_seed(tmp_path, sampler):
    other = sampler.model_copy(update={"seed": 4})
    assert play(search(tmp_path / "a", sampler)) == play(search(tmp_path / "b", other))


@EACH
def test_optuna_is_told_the_truth_of_every_end_and_nothing_stays_running(tmp_path, sampler):
    asked = search(tmp_path / "a", sampler)
    nan = {1: {"epoch": 1, "score": math.nan}}
    ends = [
        ("completed", OptunaState.COMPLETE),
        ("pruned", OptunaState.PRUNED),
        ("failed", OptunaState.FAIL),
        ("stopped", OptunaState.FAIL),
        ("completed", OptunaState.FAIL),
    ]
    for number, (state, _) in enumerate(ends):
        proposal = asked.ask()
        rows = {} if state == "failed" else nan if number == 4 else curve_of(proposal.values, 3)
        asked.tell(proposal, state, rows)
    trials = trials_of(tmp_path / "a")
    assert [trial.state for trial in trials] == [expected for _, expected in ends]
    assert trials[0].value == trials[0].intermediate_values[2]
    assert sorted(trials[1].intermediate_values) == [1, 2]
    play(asked)  # and the sampler can live with all of them
    assert not [t for t in trials_of(tmp_path / "a") if not t.state.is_finished()]


def test_a_torn_line_of_a_study_is_cut_off(tmp_path):
    sampler = Sampler(name="random")
    first = search(tmp_path, sampler)
    first.ask()
    with (tmp_path / "optuna.log").open("ab") as stream:
        stream.write(b'{"op_code":5,"wor')
    for number in (0, 1):  # nothing was known of the first ask: it takes no place
        assert search(tmp_path, sampler, known=dict).ask().trial_id == f"t00{number + 1}"


@EACH
def test_what_a_killed_or_interrupted_driver_could_not_tell_is_told_later(tmp_path, sampler):
    asked = search(tmp_path / "a", sampler)
    ended, stopped, running, lost = (asked.ask() for _ in range(4))
    ledger = Ledger()
    for proposal in (ended, stopped, running):
        about = {"trial_id": proposal.trial_id, "values": proposal.values}
        ledger.apply(Proposed(**about, seed=0, cell=""))
    for proposal, state in ((ended, TrialState.COMPLETED), (stopped, TrialState.STOPPED)):
        trial_id, row = proposal.trial_id, curve_of(proposal.values)[1]
        ledger.apply(Reported(trial_id=trial_id, row=row, checkpoint=None))
        ledger.apply(Ended(trial_id=trial_id, state=state, reason=""))
    again = search(tmp_path / "a", sampler, known=lambda: ledger.trials)
    states = [trial.state.name for trial in trials_of(tmp_path / "a")]
    assert states == ["COMPLETE", "FAIL", "RUNNING", "FAIL"]
    new = play(again)
    known = 3  # the lost one takes no place in the budget, and its point is asked for again
    assert len(new) == size_of(sampler) - known
    if sampler.name in ("grid", "random"):
        assert new[0][1] == lost.values


@each(lambda s: s.name != "cmaes")
def test_several_objectives_are_told_together(tmp_path, sampler):
    asked = search(tmp_path / "a", sampler, metrics=("score", "speed"))
    seen = play(asked)
    trials = trials_of(tmp_path / "a")
    assert len(trials) == len(seen)
    for trial, (_, values) in zip(trials, seen, strict=True):
        assert trial.values == [curve_of(values, 3)[2]["score"], values["size"]]


def test_the_grid_is_every_point_once_and_the_runs_own_first(tmp_path):
    axes = {**FINITE_AXES, "lr": {"choice": [0.01, 0.06]}, "size": {"int": [16, 32], "step": 16}}
    seen = play(search(tmp_path / "a", Sampler(name="grid"), axes))
    assert seen[0][1] == {"lr": 0.06, "size": 32, "loss": "info_nce"}
    points = [tuple(values.items()) for _, values in seen]
    assert len(points) == len(set(points)) == 2 * 2 * (2 + 1)


def test_points_are_tried_first_whole_or_partial_and_in_their_order(tmp_path):
    points = [{"lr": 0.5}, {"weight": 0, "loss": "unicon", "positives": "mean"}, {"weight": 0.3}]
    seen = [values for _, values in play(search(tmp_path / "a", SAMPLERS[0], first=points))]
    assert seen[0] == {"lr": 0.06, "size": 32, "weight": 0, "loss": "info_nce"}
    assert seen[1]["lr"] == 0.5
    assert (seen[2]["weight"], seen[2]["loss"], seen[2]["positives"]) == (0, "unicon", "mean")
    assert seen[3]["weight"] == 0.3
    assert len(seen) == TRIALS


def test_the_runs_own_values_are_left_out_where_they_lie_off_an_axis(tmp_path):
    axes = {"lr": {"loguniform": [0.1, 1]}, "size": {"int": [16, 64]}}
    asked = search(tmp_path / "a", Sampler(name="random", seed=3), axes)
    assert asked.ask().values["lr"] >= 0.1


def test_a_tpe_that_knows_another_sweep_starts_from_it_and_numbers_its_own_trials(tmp_path):
    finished(tmp_path / "old", AXES)
    warm = load_warm_start("old", tmp_path, space_of(SWEPT), [Objective()])
    assert len(warm) == TRIALS
    # a kill between the first and the second of them is made good
    search(tmp_path / "a", SAMPLERS[0], SWEPT, warm=lambda: warm[:1], metrics=["eval/knn_top1"])
    asked = search(tmp_path / "a", SAMPLERS[0], SWEPT, warm=lambda: warm, metrics=["eval/knn_top1"])
    first = asked.ask()
    asked.tell(first, "completed", {1: {"epoch": 1, "eval/knn_top1": 0.5}})
    assert first.trial_id == "t000"
    # the other sweep may be gone by now
    again = search(tmp_path / "a", SAMPLERS[0], SWEPT, metrics=["eval/knn_top1"])
    assert again.ask().trial_id == "t001"
    trials = trials_of(tmp_path / "a")
    assert [t.state for t in trials[:TRIALS]] == [t.state for t in warm]
    assert trials[TRIALS].value == 0.5


SWEPT = {"method.temperature": {"loguniform": [0.05, 0.5]}, "optim.lr": {"uniform": [0.01, 0.5]}}
OLD = """\
kind: search
name: s
run: {preset: digits}
search:
  method.temperature: {loguniform: [0.05, 0.5]}
  optim.lr: {uniform: [0.01, 0.5]}
"""


def finished(folder, axes, text=OLD):
    """A folder as a sweep leaves it, with a dozen random trials in its optuna.log."""
    folder.mkdir()
    (folder / "sweep.yaml").write_text(text)
    asked = search(
        folder, Sampler(name="random", seed=1), SWEPT, metrics=["eval/knn_top1"]
    )  # fmt: skip
    while (proposal := asked.ask()) is not None:
        score = 1 - proposal.values["optim.lr"]
        asked.tell(proposal, "completed", {1: {"epoch": 1, "eval/knn_top1": score}})


def test_cmaes_starts_at_the_good_trials_of_the_other_sweep(tmp_path):
    finished(tmp_path / "old", AXES)
    warm = load_warm_start("old", tmp_path, space_of(SWEPT), [Objective()])
    sampler = Sampler(name="cmaes", startup_trials=1)
    asked = search(tmp_path / "a", sampler, SWEPT, warm=lambda: warm, metrics=["eval/knn_top1"])
    cold = search(tmp_path / "b", sampler, SWEPT, metrics=["eval/knn_top1"])
    cold_first = [cold.ask().values["optim.lr"] for _ in range(8)]
    warm_first = [asked.ask().values["optim.lr"] for _ in range(8)]
    # the objective falls with lr: the other sweep's best lie low
    assert sum(warm_first) < sum(cold_first)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"optim.lr": {"uniform": [0.01, 0.5]}}, "only that sweep varies method.temperature"),
        ({**SWEPT, "epochs": {"int": [1, 2]}}, "only this sweep varies epochs"),
        ({**SWEPT, "optim.lr": {"loguniform": [0.01, 0.5]}}, "is another axis there"),
        ({**SWEPT, "optim.lr": {"uniform": [0.01, 0.5], "or": 1}}, "is another axis there"),
        ({**SWEPT, "optim.lr": {"uniform": [0.6, 0.7]}}, "none lies on the axes"),
    ],
)
def test_a_sweep_of_other_axes_is_no_warm_start(tmp_path, axes, words):
    finished(tmp_path / "old", AXES)
    base = {**BASE, "method.temperature": 0.1, "optim.lr": 0.06, "epochs": 1}
    space = SearchSpace({k: Axis.model_validate(a) for k, a in axes.items()}, base)
    with pytest.raises(ConfigError, match=words):
        load_warm_start("old", tmp_path, space, [Objective()])


def test_a_narrower_range_takes_what_lies_in_it_and_another_objective_is_refused(tmp_path):
    finished(tmp_path / "old", AXES)
    narrow = space_of({**SWEPT, "optim.lr": {"uniform": [0.01, 0.2]}})
    some = load_warm_start("old", tmp_path, narrow, [Objective()])
    assert 0 < len(some) < TRIALS
    assert all(trial.params["optim.lr"] <= 0.2 for trial in some)
    with pytest.raises(ConfigError, match=r"its objective is eval/knn_top1 \(max\)"):
        load_warm_start("old", tmp_path, narrow, [Objective(metric="train/loss", mode="min")])
    with pytest.raises(ConfigError, match="holds no search"):
        load_warm_start("older", tmp_path, narrow, [Objective()])


def test_an_axis_of_pairs_is_proposed_as_pairs_and_the_runs_own_first(tmp_path):
    pairs = [[0.2, 1], [0.5, 1], [0.8, 1]]
    axes = {"crop": {"choice": pairs}}
    space = SearchSpace(
        {key: Axis.model_validate(axis) for key, axis in axes.items()}, {"crop": [0.5, 1.0]}
    )
    asked = OptunaProposals(
        "s",
        space,
        [Objective.model_construct(metric="score", mode="max")],
        SAMPLERS[0],
        TRIALS,
        0,
        tmp_path / "optuna.log",
        first=[{"crop": [0.5, 1.0]}],
    )
    seen = []
    while (proposal := asked.ask()) is not None:
        seen.append(proposal.values["crop"])
        asked.tell(proposal, "completed", {1: {"epoch": 1, "score": proposal.values["crop"][0]}})
    assert seen[0] == [0.5, 1]
    assert all(pair in pairs for pair in seen)
    assert [0.8, 1] in seen  # the best one is found


def test_a_lock_that_a_kill_has_left_holds_nobody_up(tmp_path, monkeypatch):
    search(tmp_path, SAMPLERS[2]).ask()
    lock = tmp_path / "optuna.log.lock"
    lock.symlink_to(tmp_path / "optuna.log")
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    assert search(tmp_path, SAMPLERS[2]).ask() is not None
    assert waited == []
    assert not lock.is_symlink()


def test_storage_without_links_keeps_a_study_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(os, "link", refuse)
    assert search(tmp_path, SAMPLERS[2]).ask() is not None


def test_a_full_disk_leaves_a_study_that_can_be_read(tmp_path):
    study = search(tmp_path, SAMPLERS[2])
    study.ask()
    log = tmp_path / "optuna.log"
    before = log.read_bytes()
    with room(len(before) + 5), pytest.raises(DiskFullError, match=r"no room for optuna\.log"):
        study.ask()
    assert log.read_bytes() == before
    assert search(tmp_path, SAMPLERS[2]).ask() is not None
