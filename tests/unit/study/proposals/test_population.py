"""A population's rounds, decided from the ledger alone, and how its values move."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymoco.errors import ConfigError
from raymoco.study.journal.events import (
    Assigned,
    Changed,
    Ended,
    Paused,
    Proposed,
    Reported,
    TrialState,
)
from raymoco.study.journal.ledger import Ledger
from raymoco.study.proposals.mutation import draw, mutate
from raymoco.study.proposals.population import Population, hand_over, open_population
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.sweepfile.scheduler_options import Scheduler
from raymoco.study.sweepfile.sections import Objective

AXES = {
    "optim.lr": Axis.model_validate({"loguniform": [0.01, 1]}),
    "method.key_momentum": Axis.model_validate({"choice": [0.9, 0.99, 0.999]}),
    "method.cross_consistency.weight": Axis.model_validate({"loguniform": [0.1, 1], "or": 0}),
}
FIRST = {"optim.lr": 0.06, "method.key_momentum": 0.99, "method.cross_consistency.weight": 0.0}
SCORE = "eval/knn_top1"
POPULATION = """\
kind: search
name: pop
run: {preset: digits, epochs: 6}
search: {optim.lr: {loguniform: [0.01, 1]}}
scheduler: {name: pbt, every_epochs: 2}
budget: {trials: 4}
"""


class Sweep:
    """A ledger with checkpoints, and members whose score is their learning rate."""

    def __init__(self, folder):
        self.folder, self.ledger, self.events = folder, Ledger(), []

    def record(self, event):
        self.events.append(event)
        self.ledger.apply(event)

    def population(self, size=8):
        return Population(
            AXES, FIRST, Objective(), Scheduler(name="pbt", every_epochs=2), size, 5, 6, 0,
            self.folder, self.ledger, self.record,
        )  # fmt: skip

    def run(self, proposal):
        trial_id, until = proposal.trial_id, proposal.until or 6
        if trial_id not in self.ledger.trials:
            about = {"trial_id": trial_id, "values": proposal.values}
            self.record(Proposed(**about, seed=0, cell=""))
        self.record(Assigned(trial_id=trial_id, attempt=proposal.attempt, gang="g0"))
        checkpoints = self.folder / "checkpoints" / trial_id
        checkpoints.mkdir(parents=True, exist_ok=True)
        for epoch in range(self.ledger.trials[trial_id].epochs + 1, until + 1):
            for old in checkpoints.glob("*.pt"):
                old.unlink()  # checkpoint.keep is 1
            path = checkpoints / f"epoch-{epoch:05d}.pt"
            path.write_text(f"{trial_id} {epoch}")
            row = {"epoch": epoch, SCORE: proposal.values["optim.lr"]}
            self.record(Reported(trial_id=trial_id, row=row, checkpoint=None))
        if until == 6:
            self.record(Ended(trial_id=trial_id, state=TrialState.COMPLETED, reason=""))
        else:
            self.record(Paused(trial_id=trial_id))

    def changes(self):
        return [event for event in self.events if isinstance(event, Changed)]


def test_the_worst_go_on_from_checkpoints_and_values_of_the_best(tmp_path):
    sweep = Sweep(tmp_path)
    for proposal in sweep.population().next_round():
        assert proposal.until == 2
        sweep.run(proposal)
    assert sweep.ledger.trials["t000"].values["optim.lr"] == 0.06
    before = {t.trial_id: t.values["optim.lr"] for t in sweep.ledger.all()}
    order = sorted(before, key=before.get)
    second = sweep.population().next_round()
    assert sorted(change.trial_id for change in sweep.changes()) == sorted(order[:2])
    for change in sweep.changes():
        assert change.donor in order[-2:]
        path = tmp_path / "checkpoints" / change.trial_id / "epoch-00002.pt"
        assert path.read_text() == f"{change.donor} 2"
        values = change.values
        assert values["changes"][0]["optim.lr"] == before[change.donor]
        assert values["changes"][2] == {key: values[key] for key in AXES}
    assert [(p.until, p.attempt) for p in second] == [(4, 2)] * 8
    assert all(p.resume_from.endswith("epoch-00002.pt") for p in second)


def test_a_donor_that_is_ahead_takes_nothing_from_who_goes_on_from_it(tmp_path):
    sweep = Sweep(tmp_path)
    for proposal in sweep.population().next_round():
        sweep.run(proposal)
    second = sweep.population().next_round()
    donors = {change.donor for change in sweep.changes()}
    for proposal in second:
        if proposal.trial_id in donors:
            sweep.run(proposal)  # its own epoch 2 is gone now
    for change in sweep.changes():
        (proposal,) = [p for p in second if p.trial_id == change.trial_id]
        assert Path(proposal.resume_from).read_text() == f"{change.donor} 2"


def test_an_earlier_drivers_round_is_not_decided_again_when_its_donors_went_on(tmp_path):
    sweep = Sweep(tmp_path)
    for proposal in sweep.population().next_round():
        sweep.run(proposal)
    sweep.population().next_round()
    changes = sweep.changes()
    # gangs went on for a moment after their driver was killed: the journal has not heard of it
    for donor in {change.donor for change in changes}:
        checkpoint = tmp_path / "checkpoints" / donor / "epoch-00002.pt"
        checkpoint.rename(checkpoint.with_name("epoch-00003.pt"))
    assert len(sweep.population().next_round()) == 8
    assert sweep.changes() == changes


def test_members_that_were_stopped_go_on_with_a_resume(tmp_path):
    (tmp_path / "pop.yaml").write_text(POPULATION)
    loaded, sweep = load_sweep(tmp_path / "pop.yaml"), Sweep(tmp_path)

    def reopened():
        return open_population(loaded, loaded.base, tmp_path, sweep.ledger, sweep.record)

    for proposal in reopened().next_round():
        sweep.run(proposal)
    for member in sweep.ledger.all():
        about = {"trial_id": member.trial_id, "reason": "interrupted"}
        sweep.record(Ended(state=TrialState.STOPPED, **about))
    proposals = reopened().next_round()
    assert [(p.trial_id, p.attempt, p.until) for p in proposals] == [
        (f"t00{number}", 2, 4) for number in range(4)
    ]
    assert not sweep.ledger.in_state("stopped")


def test_a_population_that_is_killed_anywhere_ends_as_one_that_was_not(tmp_path):
    whole, killed = Sweep(tmp_path / "whole"), Sweep(tmp_path / "killed")
    while round_ := whole.population().next_round():
        for proposal in round_:
            whole.run(proposal)
    steps = 0
    while round_ := killed.population().next_round():
        killed.population().next_round()  # decided again before anybody could run
        killed.run(round_[0])  # a new driver after every member
        steps += 1
    assert steps == 8 * 3
    assert [t.state for t in killed.ledger.all()] == ["completed"] * 8
    ends = [{t.trial_id: t.values for t in sweep.ledger.all()} for sweep in (whole, killed)]
    assert ends[0] == ends[1]
    assert [t.rows for t in whole.ledger.all()] == [t.rows for t in killed.ledger.all()]


def test_a_member_that_failed_takes_no_part_any_more(tmp_path):
    sweep = Sweep(tmp_path)
    for proposal in sweep.population().next_round():
        sweep.run(proposal)
    sweep.record(Ended(trial_id="t003", state=TrialState.FAILED, reason="nan"))
    assert "t003" not in [proposal.trial_id for proposal in sweep.population().next_round()]


def test_members_of_a_finite_space_differ_as_long_as_its_points_suffice(tmp_path):
    population = Sweep(tmp_path).population(4)
    population.axes = {"method.key_momentum": AXES["method.key_momentum"]}
    drawn = [proposal.values["method.key_momentum"] for proposal in population.next_round()]
    assert drawn[0] == 0.99
    assert sorted(drawn[:3]) == [0.9, 0.99, 0.999]


def test_a_population_that_is_stopped_leaves_nobody_waiting(tmp_path):
    sweep = Sweep(tmp_path)
    first = sweep.population(3).next_round()
    for proposal in first[:2]:  # of an earlier driver
        sweep.run(proposal)
    population = sweep.population(3)
    ended = []

    def submit(proposal):
        population.stopping = True  # Ctrl-C while the third trains
        if proposal.trial_id not in sweep.ledger.trials:
            sweep.record(Proposed(trial_id=proposal.trial_id, values={}, seed=0, cell=""))
        about = {"trial_id": proposal.trial_id, "reason": "interrupted"}
        sweep.record(Ended(state=TrialState.STOPPED, **about))
        ended.append(proposal.trial_id)

    population.play(submit)
    assert ended == ["t002", "t000", "t001"]


def test_a_checkpoint_is_handed_over_where_the_storage_knows_no_links(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "epoch-00002.pt").write_text("a 2")

    def no_links(*_):
        raise PermissionError

    monkeypatch.setattr("os.link", no_links)
    hand_over(tmp_path, "a", "b", 2)
    assert (tmp_path / "b" / "epoch-00002.pt").read_text() == "a 2"
    assert len(list((tmp_path / "b").iterdir())) == 1


@given(number=st.integers(0, 10_000), resample=st.floats(0, 1))
def test_a_moved_value_stays_on_its_axis(number, resample):
    numbers = random.Random(number)
    for axis in (*AXES.values(), Axis.model_validate({"uniform": [0, 1], "step": 0.25})):
        value = draw(axis, numbers)
        for _ in range(5):
            value = mutate(axis, value, numbers, resample)
            assert axis.point("k", value) is not None


PBT = """\
kind: search
name: s
run: {preset: digits, epochs: 9}
search: {optim.lr: {loguniform: [0.01, 1]}}
scheduler: {name: pbt, every_epochs: 3}
"""


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("search.method.queue_size={choice: [16, 32]}", "cannot change method.queue_size in the"),
        ("search.method.temperature={choice: [1], when: {optim.lr: {not: 1}}}", "knows no `when`"),
        ("scheduler.every_epochs=9", "must be below run.epochs"),
        ("run.eval.every=2", "must be a multiple of run.eval.every, 2"),
        ("run.checkpoint.every=2", "must be a multiple of run.checkpoint.every, 2"),
        ("budget.trials=1", "a population needs two"),
        ("sampler.name=tpe", "draws its own population"),
        ("enqueue=[{optim.lr: 0.1}]", "leave out enqueue"),
        ("objective=[{metric: eval/knn_top1}, {metric: train/loss}]", "with several objectives"),
    ],
)
def test_a_population_that_cannot_be_meant_is_refused(tmp_path, override, words):
    path = tmp_path / "s.yaml"
    path.write_text(PBT)
    with pytest.raises(ConfigError, match=words):
        load_sweep(path, [override])
    (tmp_path / "again.yaml").write_text(load_sweep(path).spec.to_yaml())
    assert load_sweep(tmp_path / "again.yaml") == load_sweep(path)
