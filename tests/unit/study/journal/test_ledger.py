import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymoco.errors import DataError
from raymoco.event_log import Journal, read_journal
from raymoco.study.journal.ledger import Ledger, TrialRecord, load_ledger

EVENTS = [
    {"event": "gang_up", "gang": "gang-0", "workers": 1},
    {"event": "proposed", "trial_id": "t000", "values": {"seed": 1}, "seed": 1, "cell": ""},
    {"event": "assigned", "trial_id": "t000", "attempt": 1, "gang": "gang-0"},
    {
        "event": "report",
        "trial_id": "t000",
        "row": {"epoch": 1, "eval/knn_top1": 0.5},
        "checkpoint": "one.pt",
    },
    {
        "event": "report",
        "trial_id": "t000",
        "row": {"epoch": 2, "train/loss": 3.0},
        "checkpoint": None,
    },
    {"event": "ended", "trial_id": "t000", "state": "completed", "reason": ""},
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
        live.apply(journal.append(event))
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
    assert len(read_journal(path)) == kept
    journal = Journal(path)
    journal.append({"event": "gang_up", "gang": "gang-0"})
    journal.close()
    events = read_journal(path)
    assert len(events) == kept + 1
    assert events[-1]["event"] == "gang_up"


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
        ledger.apply({"time": 0.0, **event})
    for state in ("pruned", "completed"):
        ledger.apply(
            {"time": 1.0, "event": "ended", "trial_id": "t000", "state": state, "reason": ""}
        )
    assert ledger.trials["t000"].state == "pruned"
