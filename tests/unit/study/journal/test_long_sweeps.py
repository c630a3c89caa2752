"""What is written and counted at each event of a sweep does not grow with its length."""

import random
import time

import pytest

from raymoco.event_log import Journal
from raymoco.study.journal import recorder as recorder_module
from raymoco.study.journal.events import Assigned, Dropped, Ended, Proposed, Reported, TrialState
from raymoco.study.journal.ledger import Ledger
from raymoco.study.journal.ranking import Leader, ranked
from raymoco.study.journal.recorder import Recorder
from raymoco.study.sweepfile.sections import Objective

METRIC = "eval/knn_top1"


def trial_events(name, score, state=TrialState.COMPLETED, **more):
    about = {"trial_id": name}
    yield Proposed(**about, values={}, seed=0, cell=more.pop("cell", ""), **more)
    yield Assigned(**about, attempt=1, gang="g0")
    yield Reported(**about, row={"epoch": 1, METRIC: score}, checkpoint=None)
    yield Ended(**about, state=state, reason="")


def test_trials_csv_follows_at_its_share_of_the_time_and_is_whole_when_asked_for(
    tmp_path, monkeypatch
):
    written = []

    def slow(path, *rest):
        written.append(time.monotonic())
        time.sleep(0.02)

    monkeypatch.setattr(recorder_module, "write_trials", slow)
    journal = Journal(tmp_path / "journal.jsonl")
    recorder = Recorder(tmp_path, Ledger(), journal, [Objective()], [], lambda event: None)
    begun = time.monotonic()
    for number in range(60):
        for event in trial_events(f"t{number}", 0.5):
            recorder.record(event)
    took = time.monotonic() - begun
    # 0.02 s of writing, then 0.4 s without
    assert 1 <= len(written) <= 1 + took / 0.4
    before = len(written)
    recorder.write_tables()
    assert len(written) == before + 1
    journal.close()


def test_the_listener_writes_what_a_last_trial_left_stale(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    recorder = Recorder(tmp_path, Ledger(), journal, [Objective()], [], lambda event: None)
    recorder._tables_due = time.monotonic() + 3600
    for event in trial_events("t000", 0.5):
        recorder.record(event)
    assert not (tmp_path / "trials.csv").exists()
    recorder._tables_due = time.monotonic()
    recorder._refresh_tables()
    assert "t000" in (tmp_path / "trials.csv").read_text()
    journal.close()


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_leader_is_the_best_that_ranking_all_trials_finds(mode):
    draw, objective = random.Random(0), Objective(metric=METRIC, mode=mode)
    ledger = Ledger()
    leader = Leader(ledger, objective)
    events = []
    for number in range(60):
        score = draw.choice([0.1, 0.5, 0.9, float("nan")]) + draw.choice([0, 0.01])
        state = draw.choice([TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED])
        cell = draw.choice(["", "", "a"])
        events.append(list(trial_events(f"t{number:03d}", score, state, cell=cell)))
    for one in events:
        ledger.apply(one[0])
    draw.shuffle(events)  # they end in another order than they began
    for one in events:
        for event in one[1:]:
            ledger.apply(event)
            leader.take(event)
        best = ranked(ledger.search_trials, objective)
        assert leader.best == (best[0] if best else None)
    assert Leader(ledger, objective).best == leader.best


def test_the_leader_of_repeats_is_led_by_the_means():
    ledger = Ledger()
    leader = Leader(ledger, Objective())
    for name, scores in (("t000", (0.5, 0.6)), ("t001", (0.9, 0.1)), ("t002", (0.4,))):
        for repeat, score in enumerate(scores):
            about = {"proposal": name, "repeat": repeat, "repeats": 2}
            for event in trial_events(f"{name}-r{repeat}", score, **about):
                ledger.apply(event)
                leader.take(event)
    dropped = Dropped(trial_id="t002-r0", state=TrialState.PRUNED, reason="behind")
    ledger.apply(dropped)
    leader.take(dropped)
    assert (leader.best.trial_id, leader.best.score(METRIC)) == ("t000", pytest.approx(0.55))
