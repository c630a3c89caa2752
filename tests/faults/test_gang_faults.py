"""Workers, controllers and trials go wrong in a real sweep: each trial's failures are its own."""

import pytest
import torch

from raymoco.engine.checkpoint import find_checkpoint, load_checkpoint
from raymoco.errors import GangError
from raymoco.event_log import read_journal
from raymoco.study.gangs import pool
from raymoco.study.journal.events import SWEEP_EVENTS, Changed, GangLost, GangUp, Retried
from raymoco.study.journal.ledger import load_ledger
from raymoco.study.launch import sweep
from tests.faults.injected import faulty_gang_loop, place_faults
from tests.small import small_sweep
from tests.undisturbed import alone, timeless

SWEEP = """\
kind: ablation
factors:
  fault: {{{levels}}}
seeds: [0]
budget: {{concurrent: {gangs}}}
gang: {{{gang}}}
tracking: {{uri: none}}
"""
POPULATION = """\
kind: search
search:
  optim.lr: {loguniform: [0.01, 0.1]}
  method.temperature: {loguniform: [0.05, 0.5]}
scheduler: {name: pbt, every_epochs: 2}
budget: {trials: 3, concurrent: 1}
gang: {workers: 2, max_failures: 1}
tracking: {uri: none}
"""


@pytest.fixture
def faulty(monkeypatch):
    """Gangs that play the faults which a test has placed."""
    monkeypatch.setattr(pool, "gang_loop", faulty_gang_loop)


def write(output, levels, count, gang):
    named = ", ".join(
        f"{name}: {{method.temperature: {0.1 + 0.01 * n:g}, method.queue_size: {16 + 8 * (n % 3)}, "
        f"optim.batch_size: {(64, 32)[n % 2]}, model.width: {(4, 6, 4)[n % 3]}, "
        f"data.labelled_fraction: {(0.1, 0, 0.5)[n % 3]:g}}}"
        for n, name in enumerate(levels)
    )
    text = SWEEP.format(levels=named, gangs=count, gang=gang)
    return small_sweep(output / "faults.yaml", text, epochs=4, data__labelled_fraction=0.1)


def test_each_failure_is_counted_to_its_trial_and_changes_no_other_one(
    cluster, faulty, tmp_path, capsys
):
    levels = ("fine", "raise", "oom", "dirt", "kill", "hang", "exit", "hopeless", "late")
    # longer than a first import of the optimizer takes on a busy machine
    file = write(tmp_path, levels, 2, "max_failures: 1, stall_timeout_s: 15")
    place_faults(
        tmp_path,
        **{
            "fault=raise-s0.3.0": "raise",
            "fault=oom-s0.1.0": "oom",
            "fault=dirt-s0.2.0": "dirt",
            "fault=kill-s0.3.0": "kill",
            "fault=hang-s0.2.0": "hang",
            "fault=exit-s0.2.0": "exit",
            "fault=hopeless-s0.2.0": "always raise",
        },
    )
    result = sweep(str(file))
    trials = load_ledger(result.folder / "journal.jsonl").trials
    states = {name: trials[f"fault={name}-s0"].state for name in levels}
    assert states == dict.fromkeys(levels, "completed") | {"hopeless": "failed"}
    attempts = {name: trials[f"fault={name}-s0"].attempt for name in levels}
    assert attempts == dict.fromkeys(levels, 2) | {"fine": 1, "late": 1}
    assert trials["fault=hopeless-s0"].reason == "KeyError: 'a defect in a backbone' (2 times)"
    events = read_journal(result.folder / "journal.jsonl", SWEEP_EVENTS)
    reasons = {e.trial_id: e.reason for e in events if isinstance(e, Retried)}
    assert reasons["fault=raise-s0"] == "KeyError: 'a defect in a backbone'"
    assert reasons["fault=oom-s0"].startswith("the GPU's memory was not enough: lower ")
    assert reasons["fault=kill-s0"].startswith("the worker process of rank 0 died (process ")
    assert reasons["fault=hang-s0"] == "nothing was heard of it for 15 s"
    assert reasons["fault=exit-s0"] == "SystemExit: 3"
    logs = {name: (result.folder / "logs" / f"fault={name}-s0.txt").read_text() for name in levels}
    assert 'raise KeyError("a defect in a backbone")' in logs["raise"]
    assert "resumed after epoch 2" in logs["kill"]
    assert "attempt 1 failed: nothing was heard of it for 15 s" in logs["hang"]
    # a process that is sound goes on: only the kill and the hang cost a gang
    lost = [event for event in events if isinstance(event, GangLost)]
    assert len(lost) == 2
    assert "the trial left the default dtype changed: put back" in logs["dirt"]
    assert "threads that cannot be ended: left over" in logs["dirt"]
    # neither a retry nor what ran before on the same processes changes a digit
    for name in set(levels) - {"hopeless"}:
        trial = trials[f"fault={name}-s0"]
        assert sorted(trial.rows) == [1, 2, 3, 4]
        undisturbed = alone(trial, result.folder, tmp_path / trial.trial_id)
        assert timeless(trial.final) == timeless(undisturbed[-1])
        ours = load_checkpoint(find_checkpoint(tmp_path / trial.trial_id)).module
        theirs = load_checkpoint(
            find_checkpoint(result.folder / "checkpoints" / trial.trial_id)
        ).module
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_gang_of_two_workers_survives_the_loss_of_either(cluster, faulty, tmp_path):
    levels = ("fine", "first", "second", "uneven", "slow", "late")
    gang = "workers: 2, trial_timeout_s: 12, check_every: 1"
    file = write(tmp_path, levels, 1, gang)
    place_faults(
        tmp_path,
        **{
            "fault=first-s0.2.0": "kill",
            "fault=second-s0.3.1": "kill",
            "fault=uneven-s0.2.1": "raise",
            "fault=slow-s0.2.0": "always slow",
        },
    )
    result = sweep(str(file))
    trials = load_ledger(result.folder / "journal.jsonl").trials
    told = {
        name: (trials[f"fault={name}-s0"].state, trials[f"fault={name}-s0"].attempt)
        for name in levels
    }
    twice = ("completed", 2)
    assert told == dict.fromkeys(levels, ("completed", 1)) | {
        "first": twice,
        "second": twice,
        "uneven": twice,
        "slow": ("failed", 1),
    }
    assert trials["fault=slow-s0"].reason == "it took longer than 12 s"
    assert trials["fault=slow-s0"].epochs == 1, "it was stopped within its second epoch"
    events = read_journal(result.folder / "journal.jsonl", SWEEP_EVENTS)
    reasons = {e.trial_id: e.reason for e in events if isinstance(e, Retried)}
    assert reasons["fault=first-s0"].startswith("the worker process of rank 0 died")
    assert reasons["fault=second-s0"].startswith("the worker process of rank 1 died")
    assert reasons["fault=uneven-s0"] == "KeyError: 'a defect in a backbone'"
    assert {event.workers for event in events if isinstance(event, GangUp)} == {2}
    for name in levels:
        rows = sorted(trials[f"fault={name}-s0"].rows)
        assert rows == ([1] if name == "slow" else [1, 2, 3, 4])


@pytest.mark.slow
def test_a_population_on_two_workers_goes_on_without_a_member_that_fails(cluster, faulty, tmp_path):
    file = small_sweep(tmp_path / "population.yaml", POPULATION, epochs=4)
    place_faults(tmp_path, **{"t001.1.0": "always raise", "t002.3.1": "kill"})
    folder = sweep(str(file)).folder
    members = load_ledger(folder / "journal.jsonl").all()
    told = [(member.trial_id, member.state, member.epochs) for member in members]
    assert told == [("t000", "completed", 4), ("t001", "failed", 0), ("t002", "completed", 4)]
    events = read_journal(folder / "journal.jsonl", SWEEP_EVENTS)
    (change,) = [event for event in events if isinstance(event, Changed)]
    assert {change.donor, change.trial_id} == {"t000", "t002"}
    assert change.epoch == 2
    retries = [event for event in events if isinstance(event, Retried)]
    assert [event.trial_id for event in retries] == ["t001", "t002"]
    assert retries[1].reason.startswith("the worker process of rank 1 died")


@pytest.mark.slow
def test_a_sweep_without_any_gang_left_says_why_and_a_resume_goes_on(cluster, faulty, tmp_path):
    file = write(tmp_path, ("fine", "deadly"), 1, "max_failures: 9")
    place_faults(tmp_path, **{"fault=deadly-s0.1.0": "always kill"})
    with pytest.raises(GangError, match="no gang is left: gang-0: failed 3 times in a row without"):
        sweep(str(file))
    folder = tmp_path / "faults"
    before = load_ledger(folder / "journal.jsonl").trials
    assert (before["fault=fine-s0"].state, before["fault=deadly-s0"].ended) == ("completed", None)
    (tmp_path / "placed" / "fault=deadly-s0.1.0").unlink()
    sweep(str(file), resume=True)
    after = load_ledger(folder / "journal.jsonl").trials
    assert after["fault=fine-s0"] == before["fault=fine-s0"]
    assert after["fault=deadly-s0"].state == "completed"


@pytest.mark.slow
def test_with_fresh_gangs_every_trial_has_processes_of_its_own(cluster, faulty, tmp_path):
    file = write(tmp_path, ("one", "two", "three"), 1, "isolation: fresh_gang")
    place_faults(tmp_path, **{"fault=two-s0.2.0": "raise"})
    result = sweep(str(file))
    trials = load_ledger(result.folder / "journal.jsonl").trials
    assert [trial.state for trial in trials.values()] == ["completed"] * 3
    events = read_journal(result.folder / "journal.jsonl", SWEEP_EVENTS)
    ups = [event for event in events if isinstance(event, GangUp)]
    assert len(ups) == 4, "one for each attempt"
