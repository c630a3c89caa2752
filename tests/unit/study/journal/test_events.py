"""A sweep's events in the file: of this version, of 0.1, and of versions to come."""

import csv
import io
import json
import pickle
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from raymoco.errors import DataError, DiskFullError
from raymoco.event_log import Begun, Closed, Journal, RunState, Unknown, read_journal
from raymoco.study.journal.events import (
    SWEEP_EVENTS,
    Assigned,
    Changed,
    Dropped,
    Ended,
    GangClosed,
    GangLost,
    GangUp,
    Logged,
    Paused,
    Proposed,
    Reported,
    Retried,
    Tracked,
    TrialPhase,
    TrialState,
)
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import load_ledger
from tests.full_disk import room

V0_1 = Path(__file__).parents[3] / "fixtures" / "v0_1"
SWEEPS = ("ablation", "killed", "search")
ROW = {"epoch": 3, "eval/knn_top1": 0.5, "train/loss": float("inf")}
# one of each class, as the line that version 0.1 wrote for it; `orderly`, `dropped` and the repeats
# are newer
EVERY_EVENT = [
    (
        Begun(time=1.5, id="an-id", tags={"raymoco.device": "cpu"}, host="h", pid=7, started="9"),
        '"begun", "id": "an-id", "tags": {"raymoco.device": "cpu"}, "host": "h", "pid": 7, '
        '"started": "9"',
    ),
    (
        Proposed(
            time=1.5,
            trial_id="t000",
            values={"optim.lr": 0.1},
            seed=4,
            cell="a=1",
            phase=TrialPhase.TUNE,
            config="seed: 4\n",
            proposal="t000",
            repeat=1,
            repeats=3,
        ),
        '"proposed", "trial_id": "t000", "values": {"optim.lr": 0.1}, "seed": 4, "cell": "a=1", '
        '"phase": "tune", "config": "seed: 4\\n", "proposal": "t000", "repeat": 1, "repeats": 3',
    ),
    (
        Assigned(time=1.5, trial_id="t000", attempt=2, gang="gang-1"),
        '"assigned", "trial_id": "t000", "attempt": 2, "gang": "gang-1"',
    ),
    (
        Reported(time=1.5, trial_id="t000", row=ROW, checkpoint="epoch-00003.pt"),
        '"report", "trial_id": "t000", "row": {"epoch": 3, "eval/knn_top1": 0.5, "train/loss": '
        'Infinity}, "checkpoint": "epoch-00003.pt"',
    ),
    (
        Retried(time=1.5, trial_id="t000", attempt=1, reason="it died"),
        '"retry", "trial_id": "t000", "attempt": 1, "reason": "it died"',
    ),
    (Paused(time=1.5, trial_id="t000"), '"paused", "trial_id": "t000"'),
    (
        Changed(time=1.5, trial_id="t000", epoch=2, donor="t001", values={"optim.lr": 0.2}),
        '"changed", "trial_id": "t000", "epoch": 2, "donor": "t001", "values": {"optim.lr": 0.2}',
    ),
    (
        Tracked(time=1.5, trial_id="t000", run_id="abc"),
        '"tracked", "trial_id": "t000", "run_id": "abc"',
    ),
    (
        Ended(time=1.5, trial_id="t000", state=TrialState.PRUNED, reason="a scheduler stopped it"),
        '"ended", "trial_id": "t000", "state": "pruned", "reason": "a scheduler stopped it"',
    ),
    (
        Dropped(time=1.5, trial_id="t000-r1", state=TrialState.PRUNED, reason="behind t001"),
        '"dropped", "trial_id": "t000-r1", "state": "pruned", "reason": "behind t001"',
    ),
    (
        Logged(time=1.5, trial_id="t000", line="rank 0: fine"),
        '"text", "trial_id": "t000", "line": "rank 0: fine"',
    ),
    (GangUp(time=1.5, gang="gang-1", workers=2), '"gang_up", "gang": "gang-1", "workers": 2'),
    (
        GangLost(time=1.5, gang="gang-1", reason="it died"),
        '"gang_lost", "gang": "gang-1", "reason": "it died"',
    ),
    (
        GangClosed(time=1.5, gang="gang-1", reason="it died", orderly=False),
        '"gang_closed", "gang": "gang-1", "reason": "it died", "orderly": false',
    ),
    (Closed(time=1.5, state=RunState.STOPPED), '"closed", "state": "stopped"'),
]


def load(**line):
    return SWEEP_EVENTS.load({"time": 1.0, **line})


def test_the_examples_below_are_of_every_event():
    assert {event.kind for event, _ in EVERY_EVENT} == SWEEP_EVENTS.classes.keys()


@pytest.mark.parametrize(("event", "line"), EVERY_EVENT, ids=[e.kind for e, _ in EVERY_EVENT])
def test_an_event_is_one_line_of_the_file_and_comes_back_as_it_was(tmp_path, event, line):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(event)
    journal.close()
    assert path.read_text() == f'{{"time": 1.5, "event": {line}}}\n'
    (found,) = read_journal(path, SWEEP_EVENTS)
    assert found == event
    # the broker hands them to the driver through Ray
    again = pickle.loads(pickle.dumps(event))
    assert again == found
    for name in (field.name for field in fields(event)):
        kinds = [type(getattr(one, name)) for one in (event, found, again)]
        assert len(set(kinds)) == 1, name


@pytest.mark.parametrize("name", SWEEPS)
def test_a_journal_of_version_0_1_gives_the_ledger_that_0_1_made_of_it(name):
    expected = json.loads((V0_1 / "ledgers.json").read_text())[name]
    ledger = load_ledger(V0_1 / name / "journal.jsonl")
    assert (ledger.identity, len(ledger.begun)) == (expected["identity"], expected["begun"])
    assert ledger.gangs == expected["gangs"]
    found = []
    for trial in ledger.all():
        about = {**asdict(trial), "final": trial.final, "epochs": trial.epochs}
        newer = ("proposal", "repeat", "repeats", "dropped", "seeds")
        found.append(
            {key: about[key] for key in about if not key.startswith("_") and key not in newer}
        )
    assert json.loads(json.dumps(found)) == expected["trials"]


@pytest.mark.parametrize("name", SWEEPS)
def test_what_0_1_wrote_is_written_again_to_the_byte(name):
    text = (V0_1 / name / "journal.jsonl").read_text()
    events = read_journal(V0_1 / name / "journal.jsonl", SWEEP_EVENTS)
    assert not any(isinstance(event, Unknown) for event in events)
    lines = []
    for event in events:
        line = event.to_dict()
        if isinstance(event, GangClosed):
            del line["orderly"]  # newer
        lines.append(json.dumps(line) + "\n")
    assert "".join(lines) == text


def test_of_0_1_the_reason_says_whether_a_gang_was_closed_in_order():
    closed = {"event": "gang_closed", "gang": "gang-0"}
    assert load(**closed, reason="the sweep is over").orderly
    assert load(**closed, reason="no trial is left for it").orderly
    assert not load(**closed, reason="it started 3 times and got nowhere; at last x").orderly
    assert not load(**closed, reason="the sweep is over", orderly=False).orderly


def test_events_and_fields_of_a_newer_version_are_passed_over_and_none_is_lost():
    new = {"time": 1.0, "event": "moved", "trial_id": "t000", "where": {"node": 3}}
    event = SWEEP_EVENTS.load(new)
    assert isinstance(event, Unknown)
    assert (event.time, event.to_dict()) == (1.0, new)
    assert load(event="paused", trial_id="t000", why="later") == Paused(time=1.0, trial_id="t000")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '{"time": 1, "event": "retry", "trial_id": "t0", "attempt": 1}',
            "'retry' has no 'reason'",
        ),
        ('{"event": "paused", "trial_id": "t0"}', "'paused' has no 'time'"),
        ('{"time": 1, "trial_id": "t0"}', "not an event"),
        ("[1]", "not an event"),
        ("{", "not a journal line; the file was changed"),
        (
            '{"time": 1, "event": "ended", "trial_id": "t0", "state": "done", "reason": ""}',
            "state of the event 'ended' is 'done', but must be one of 'waiting', 'running'",
        ),
    ],
)
def test_a_line_that_cannot_be_meant_is_named(tmp_path, line, said):
    path = tmp_path / "journal.jsonl"
    path.write_text(f'{{"time": 1, "event": "paused", "trial_id": "t0"}}\n{line}\n')
    with pytest.raises(DataError) as refused:
        read_journal(path, SWEEP_EVENTS)
    assert str(refused.value).startswith(f"{path}:2: ")
    assert said in str(refused.value)


def test_a_state_is_its_text_wherever_it_is_written():
    state = TrialState.COMPLETED
    assert json.dumps({state: state}) == '{"completed": "completed"}'
    assert f"{state} {state:<10}|" == "completed completed |"
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow([state, TrialPhase.MAIN])
    assert stream.getvalue() == "completed,\n"
    assert {state: 1}["completed"] == 1
    assert pickle.loads(pickle.dumps(state)) is state


def test_a_folder_of_0_1_has_its_files_where_they_are_looked_for():
    search, ablation = (SweepFolder(V0_1 / name) for name in ("search", "ablation"))
    for folder in (search, ablation):
        assert all(path.is_file() for path in (folder.spec, folder.journal, folder.trials))
        assert all(
            folder.log(trial_id).is_file() for trial_id in load_ledger(folder.journal).trials
        )
    assert search.best.is_file()
    assert search.optuna_log.is_file()
    assert all(path.is_file() for path in (ablation.cells, ablation.comparisons, ablation.effects))
    killed = SweepFolder(V0_1 / "killed")
    begun = [trial.trial_id for trial in load_ledger(killed.journal).all() if trial.rows]
    assert any(any(killed.checkpoints_of(trial_id).glob("*.pt")) for trial_id in begun)


def test_an_event_that_finds_no_room_leaves_no_part_of_it(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(Closed(state=RunState.STOPPED))
    before = path.read_bytes()
    with room(len(before) + 20), pytest.raises(DiskFullError, match=r"no room for journal\.jsonl"):
        journal.append(Closed(state=RunState.FAILED))
    assert path.read_bytes() == before
    journal.append(Closed(state=RunState.COMPLETED))  # there is room again
    journal.close()
    assert [e.state for e in read_journal(path, SWEEP_EVENTS)] == ["stopped", "completed"]
