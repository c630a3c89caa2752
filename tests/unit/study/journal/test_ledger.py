import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymoco.errors import DataError
from raymoco.event_log import Journal, read_journal
from raymoco.study.journal.events import (
    SWEEP_EVENTS,
    Assigned,
    Ended,
    GangUp,
    Proposed,
    Reported,
    TrialState,
)
from raymoco.study.journal.ledger import Ledger, TrialRecord, load_ledger

ABOUT = {"trial_id": "t000"}
EVENTS = [
    GangUp(gang="gang-0", workers=1),
    Proposed(**ABOUT, values={"seed": 1}, seed=1, cell=""),
    Assigned(**ABOUT, attempt=1, gang="gang-0"),
    Reported(**ABOUT, row={"epoch": 1, "eval/knn_top1": 0.5}, checkpoint="one.pt"),
    Reported(**ABOUT, row={"epoch": 2, "train/loss": 3.0}, checkpoint=None),
    Ended(**ABOUT, state=TrialState.COMPLETED, reason=""),
]


def written(path):
    journal = Journal(path)
    for event in EVENTS:
        journal.append(event)
    journal.close()
    return path


def test_a_replayed_journal_gives_the_state_that_was_live(tmp_path):
    path, live = tmp_path / "journal.jsonl", Ledger()
    journal = Journal(path)
    for event in EVENTS:
        journal.append(event)
        live.apply(event)
    journal.close()
    assert load_ledger(path).trials == live.trials
    trial = live.trials["t000"]
    assert (trial.state, trial.epochs, trial.checkpoint) == ("completed", 2, "one.pt")
    assert trial.final == {"epoch": 2, "eval/knn_top1": 0.5, "train/loss": 3.0}


def test_a_score_is_the_last_value_that_was_measured_and_nan_where_there_is_none():
    rows = {1: {"epoch": 1, "eval/knn_top1": 0.5}, 2: {"epoch": 2, "train/loss": 3}}
    trial = TrialRecord("t000", {}, "", 0, rows=rows)
    assert trial.score("eval/knn_top1") == 0.5
    assert isinstance(trial.score("train/loss"), float)
    assert math.isnan(trial.score("test/knn_top1"))


@given(cut=st.integers(0, 2000))
def test_a_journal_cut_anywhere_keeps_every_whole_line_and_goes_on(tmp_path_factory, cut):
    path = written(tmp_path_factory.mktemp("journal") / "journal.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    assert read_journal(path, SWEEP_EVENTS) == EVENTS[:kept]
    journal = Journal(path)
    more = GangUp(gang="gang-1", workers=1)
    journal.append(more)
    journal.close()
    assert read_journal(path, SWEEP_EVENTS) == [*EVENTS[:kept], more]


def test_a_changed_line_in_the_middle_is_named(tmp_path):
    path = written(tmp_path / "journal.jsonl")
    lines = path.read_text().split("\n")
    lines[2] = lines[2][:10]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"journal\.jsonl:3"):
        load_ledger(path)


def test_the_first_end_of_a_trial_stands():
    ledger = Ledger()
    for event in EVENTS[1:3]:
        ledger.apply(event)
    for state in (TrialState.PRUNED, TrialState.COMPLETED):
        ledger.apply(Ended(**ABOUT, state=state, reason=""))
    assert ledger.trials["t000"].state == "pruned"
