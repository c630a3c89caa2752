"""A population on two gangs, its driver killed in the middle."""

import signal

import pytest
import torch

from raymoco.config import load_run_config
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.checkpoint import find_checkpoint, load_checkpoint
from raymoco.engine.loop import run_loop
from raymoco.engine.session import Session
from raymoco.event_log import read_journal
from raymoco.study.journal.events import SWEEP_EVENTS, Changed
from raymoco.study.journal.ledger import load_ledger
from tests.live_sweeps import begin, end, wait_until
from tests.small import small_sweep

POPULATION = """\
kind: search
search:
  optim.lr:                        {loguniform: [0.001, 1]}
  method.temperature:              {loguniform: [0.05, 0.5]}
  method.key_momentum:             {choice: [0.9, 0.97, 0.999]}
  method.cross_consistency.weight: {loguniform: [0.1, 1], or: 0}
scheduler: {name: pbt, every_epochs: 2}
sampler: {seed: 2}
budget: {trials: 5, concurrent: 2}
tracking: {uri: none}
"""


@pytest.fixture(scope="module")
def population(head, raymoco, tmp_path_factory):
    """Five members: a driver killed in the second round, Ctrl-C in the third, then to the end."""
    output = tmp_path_factory.mktemp("population")
    run = {"epochs": 6, "data__labelled_fraction": 0.3, "eval__linear__epochs": 1}
    file = small_sweep(output / "pop.yaml", POPULATION, **run)
    process = begin(head, file)
    folder, journal = output / "pop", output / "pop" / "journal.jsonl"
    wait_until(lambda: any(t.epochs > 2 for t in load_ledger(journal).all()), process=process)
    end(process)
    assert "completed" not in [t.state for t in load_ledger(journal).all()]
    second = begin(head, file, "--resume")
    wait_until(lambda: any(t.epochs > 4 for t in load_ledger(journal).all()), process=second)
    second.send_signal(signal.SIGINT)
    _, error = second.communicate(timeout=30)
    assert second.returncode == 130, error
    assert "stopped" in [t.state for t in load_ledger(journal).all()]
    done = raymoco("sweep", str(file), "--resume")
    assert done.returncode == 0, done.stderr
    return folder


def test_every_member_comes_to_its_end_and_some_went_on_from_others(population):
    members = load_ledger(population / "journal.jsonl").all()
    assert [(m.trial_id, m.state, m.epochs) for m in members] == [
        (f"t00{number}", "completed", 6) for number in range(5)
    ]
    events = read_journal(population / "journal.jsonl", SWEEP_EVENTS)
    changes = [event for event in events if isinstance(event, Changed)]
    assert {change.epoch for change in changes} == {2, 4}
    for change in changes:
        donor, member = (
            load_ledger(population / "journal.jsonl").trials[who].rows[change.epoch]
            for who in (change.donor, change.trial_id)
        )
        assert donor["eval/knn_top1"] >= member["eval/knn_top1"]
    # the run's own values are a member
    assert members[0].rows[1]["changes/optim.lr"] == load_run_config("digits").optim.lr


def test_a_member_is_repeated_bit_for_bit_by_one_run_of_its_schedule(population, tmp_path):
    events = read_journal(population / "journal.jsonl", SWEEP_EVENTS)
    last = [event.trial_id for event in events if isinstance(event, Changed)][-1]
    config = load_run_config(str(population / "schedules" / f"{last}.yaml"))
    assert max(config.changes) == 4
    images = load_images(config.data, ensure_shards(config.data, population.parent))
    alone = run_loop(config, images, Session(tmp_path))
    ours = load_checkpoint(find_checkpoint(tmp_path)).module
    theirs = load_checkpoint(find_checkpoint(population / "checkpoints" / last)).module
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    final = load_ledger(population / "journal.jsonl").trials[last].final
    assert final["test/linear_top1"] == alone["test/linear_top1"]
    assert final["changes/optim.lr"] == config.changes[4]["optim.lr"]


def test_the_best_of_a_population_is_a_run_with_its_schedule(population):
    ledger = load_ledger(population / "journal.jsonl")
    best = max(ledger.all(), key=lambda member: member.final["eval/knn_top1"])
    config = load_run_config(str(population / "best.yaml"))
    assert config.changes[0]["optim.lr"] == best.values["changes"]["0"]["optim.lr"]
    assert config.optim.lr == best.values["optim.lr"]
