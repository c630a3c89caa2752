"""A run's events in the file."""

import json
from pathlib import Path

import pytest

from raymoco.engine.run_events import RUN_EVENTS, EpochDone
from raymoco.event_log import Begun, Closed, Journal, RunState, read_journal

V0_1 = Path(__file__).parents[2] / "fixtures" / "v0_1" / "run" / "journal.jsonl"
EVERY_EVENT = [
    (
        Begun(time=1.5, id="an-id", tags={}, host="h", pid=7, started="9"),
        '"begun", "id": "an-id", "tags": {}, "host": "h", "pid": 7, "started": "9"',
    ),
    (
        EpochDone(time=1.5, row={"epoch": 1, "train/loss": 2.0}),
        '"report", "row": {"epoch": 1, "train/loss": 2.0}',
    ),
    (Closed(time=1.5, state=RunState.FAILED), '"closed", "state": "failed"'),
]


def test_the_examples_below_are_of_every_event():
    assert {event.kind for event, _ in EVERY_EVENT} == RUN_EVENTS.classes.keys()


@pytest.mark.parametrize(("event", "line"), EVERY_EVENT, ids=[e.kind for e, _ in EVERY_EVENT])
def test_an_event_is_one_line_of_the_file_and_comes_back_as_it_was(tmp_path, event, line):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(event)
    journal.close()
    assert (tmp_path / "journal.jsonl").read_text() == f'{{"time": 1.5, "event": {line}}}\n'
    assert read_journal(tmp_path / "journal.jsonl", RUN_EVENTS) == [event]


def test_what_0_1_wrote_is_read_and_written_again_to_the_byte():
    events = read_journal(V0_1, RUN_EVENTS)
    assert [type(event) for event in events] == [Begun, EpochDone, EpochDone, Closed]
    assert [event.points for event in events] == [0, 12, 15, 0]
    assert "".join(json.dumps(event.to_dict()) + "\n" for event in events) == V0_1.read_text()
