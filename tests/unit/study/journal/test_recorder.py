"""The thread that reads the broker's events, and who waits for it."""

import time

import pytest
import ray

from raymoco.event_log import Journal
from raymoco.study.journal.events import Ended, Proposed, TrialState
from raymoco.study.journal.ledger import Ledger
from raymoco.study.journal.recorder import Recorder
from raymoco.study.sweepfile.sections import Objective


class Late:
    """Stands where a broker's handle does: its last event comes a moment after it was asked for."""

    def __init__(self, events, seconds):
        self.events = self
        self._events, self._seconds, self.fails = events, seconds, False

    def remote(self, since, timeout_s):
        if self.fails:
            raise OSError("gone")
        time.sleep(self._seconds)
        return self._events[since : since + 1]


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "get", lambda value: value)
    journal = Journal(tmp_path / "journal.jsonl")
    one = Recorder(tmp_path, Ledger(), journal, [Objective()], [], lambda event: None)
    yield one
    one.finish()
    journal.close()


def events(count):
    for number in range(count):
        name = f"t{number}"
        yield Proposed(trial_id=name, values={}, cell="", seed=0, phase="", config="")
        yield Ended(trial_id=name, state=TrialState.COMPLETED, reason="")


def test_whoever_catches_up_finds_every_event_in_the_ledger(recorder):
    recorder.listen(Late(list(events(4)), 0.05))
    recorder.catch_up()
    assert [trial.state for trial in recorder.ledger.all()] == [TrialState.COMPLETED] * 4


def test_a_reader_that_has_failed_keeps_nobody_waiting(recorder):
    broker = Late(list(events(1)), 0.01)
    broker.fails = True
    recorder.listen(broker)
    recorder.catch_up()
    with pytest.raises(Exception, match="the sweep cannot be written down: gone"):
        recorder.check()
