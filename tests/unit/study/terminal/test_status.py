"""`raymoco status` on journals as sweeps and runs write them, on torn ones and on none."""

import json
import socket

import pytest
from ruamel.yaml import YAML

from raymoco import report
from raymoco.config import load_run_config
from raymoco.errors import DataError
from raymoco.event_log import begun
from raymoco.study.journal.find import find
from raymoco.study.terminal.status import read_status
from raymoco.study.terminal.time_left import span
from tests.written_sweeps import SEARCH, write_search

SWEEP = """\
kind: search
name: small
run: {preset: digits, epochs: 4}
search: {method.temperature: {loguniform: [0.05, 0.5]}}
budget: {trials: 4, concurrent: 2}
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder


def test_a_sweep_of_code_that_is_gone_is_shown_and_reported(tmp_path):
    text = SEARCH.replace(
        "epochs: 5}",
        'epochs: 5, model: {backbone: "gone.nets:X"}, '
        'method: {terms: {spread: {use: "gone.at:X", weight: 1}}}}',
    )
    folder = write_search(tmp_path / "found", text)
    assert report(folder).html.exists()
    (folder / "journal.jsonl").write_text(
        json.dumps({**begun("an-id", {}).to_dict(), "time": 1.0}) + "\n"
    )
    assert read_status(find(str(folder))).lines()


class Clock:
    """Appends events, one each second."""

    def __init__(self, folder):
        self.time = 1000.0
        self.path = folder / "journal.jsonl"

    def append(self, kind, trial_id=None, **more):
        about = {} if trial_id is None else {"trial_id": trial_id}
        self.write({"event": kind, "time": self.time, **about, **more})
        self.time += 1

    def write(self, event):
        with self.path.open("a") as stream:
            stream.write(json.dumps(event) + "\n")


def play(folder, **driver):
    """Two trials are over, two run."""
    clock = Clock(folder)
    clock.write({**begun("an-id", {}).to_dict(), **driver, "time": clock.time})
    clock.append("gang_up", gang="gang-0", workers=1)
    clock.append("gang_up", gang="gang-1", workers=1)
    for number in range(4):
        values = {"method.temperature": 0.1 + number / 100}
        name = f"t{number:03d}"
        clock.append("proposed", name, values=values, seed=0, cell="", config="")
        clock.append("assigned", name, attempt=0, gang=f"gang-{number % 2}")
        for epoch in range(1, 5 if number < 2 else number):
            row = {"epoch": epoch, "eval/knn_top1": 0.5 + number / 10 + epoch / 100}
            clock.append("report", name, row=row, checkpoint=None)
        if number < 2:
            clock.append("ended", name, state="completed" if number else "pruned", reason="")
    clock.append("something_new", trial_id="t002", gang="gang-9", detail={"of": "a later version"})
    return clock


def test_a_running_sweep_says_who_runs_what_and_for_how_long(folder):
    clock = play(folder)
    status = read_status(find(str(folder)), now=clock.time + 10)
    assert status.state == "running"
    assert status.counts == {
        "completed": 1, "pruned": 1, "stopped": 0, "failed": 0, "running": 2, "waiting": 0,
    }  # fmt: skip
    assert [(one.trial_id, one.epoch, one.gang) for one in status.running] == [
        ("t002", 1, "gang-0"),
        ("t003", 2, "gang-1"),
    ]
    assert status.running[1].metric == pytest.approx(0.82)
    assert (status.best.trial_id, status.best.name) == ("t001", "T=0.11")
    assert [(gang.state, gang.starts) for gang in status.gangs] == [("up", 1), ("up", 1)]
    assert status.driver.alive
    assert status.driver.silent_seconds == pytest.approx(11)
    assert status.elapsed_seconds == pytest.approx(clock.time + 10 - 1000)
    # 5 of the epochs that a trial usually takes are to come; 11 took 20 s and the silence
    assert status.left_seconds == pytest.approx(5 * (clock.time + 10 - 1003) / 11)
    assert status.mlflow.points_waiting == 11
    text = "\n".join(status.lines())
    assert "search small: running on" in text
    assert "trials   2 of 4 ended: 1 completed, 1 pruned, 2 running" in text
    assert "t003  epoch 2/4  eval/knn_top1 0.8200  on gang-1  T=0.13" in text
    assert "11 points wait for sqlite" in text


CELLS = """\
kind: ablation
name: small
run: {preset: digits, epochs: 4}
factors: {loss: {unicon: {method.loss: unicon}, info_nce: {method.loss: info_nce}}}
seeds: [0, 1, 2, 3]
"""


@pytest.mark.parametrize("text", [SWEEP, CELLS], ids=["search", "ablation"])
def test_no_sweep_has_more_time_left_than_its_hours_allow(folder, text):
    values = {**YAML(typ="safe").load(text), "budget": {"hours": 0.01, "concurrent": 2}}
    (folder / "sweep.yaml").write_text(json.dumps(values))
    clock = play(folder)
    for now, left in ((clock.time + 6, 1036 - clock.time - 6), (1037, 0)):
        assert read_status(find(str(folder)), now=now).left_seconds == pytest.approx(left)


def test_it_says_whether_the_driver_is_gone_or_seen_from_elsewhere(folder):
    clock = play(folder, pid=2**22 + 1)
    status = read_status(find(str(folder)))
    assert status.state == "interrupted"
    assert status.left_seconds is None
    assert "go on with --resume" in status.lines()[0]
    clock.write({**begun("an-id", {}).to_dict(), "host": "gpu-7", "time": clock.time})
    elsewhere = read_status(find(str(folder)))
    assert elsewhere.driver.alive is None
    assert "running on gpu-7" in elsewhere.lines()[0]
    assert "another machine" in elsewhere.lines()[0]


def test_a_finished_sweep_says_when(folder):
    clock = play(folder)
    clock.append("closed", state="completed")
    status = read_status(find(str(folder)), now=clock.time + 3599)
    assert status.state == "completed"
    assert status.elapsed_seconds == pytest.approx(clock.time - 1 - 1000)
    assert status.lines()[0] == "search small: completed 1 h 00 min ago"


def test_a_driver_that_begins_in_the_instant_in_which_the_one_before_closed_is_running(folder):
    clock = play(folder)
    again = json.loads(clock.path.read_text().splitlines()[0])
    clock.write({"event": "closed", "state": "stopped", "time": again["time"]})
    assert read_status(find(str(folder)), now=clock.time).state == "stopped"
    clock.write(again)
    assert read_status(find(str(folder)), now=clock.time).state == "running"


def test_a_gang_that_was_started_again_is_as_old_as_its_last_start(folder):
    clock = play(folder)
    clock.append("gang_lost", gang="gang-0", reason="a worker process died")
    clock.append("gang_up", gang="gang-0", workers=1)
    first, second = read_status(find(str(folder)), now=clock.time + 4).gangs
    assert (first.name, first.state, first.starts, first.seconds) == ("gang-0", "up", 2, 5.0)
    assert second.starts == 1
    assert second.seconds > 20


def test_a_torn_last_line_is_not_read_and_nothing_is_written(folder):
    play(folder)
    journal = folder / "journal.jsonl"
    with journal.open("a") as stream:
        stream.write('{"event": "ended", "trial_id": "t00')
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert read_status(find(str(folder))).counts["running"] == 2
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_sweep_before_its_first_event_and_folders_of_something_else(folder, tmp_path):
    assert "nothing has happened yet" in read_status(find(str(folder))).lines()[0]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="neither a sweep nor a run"):
        find(str(empty))
    with pytest.raises(DataError, match="in it lie the sweeps small"):
        find(str(tmp_path))
    with pytest.raises(DataError, match="no such folder"):
        find("nothing-of-this-name")


def test_a_run_of_train_says_its_epoch_and_the_time_left(tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    config = load_run_config("digits", ["epochs=10", "name=one"])
    (folder / "config.yaml").write_text(config.to_yaml())
    with pytest.raises(DataError, match="a run that has not begun"):
        read_status(find(str(folder)))
    clock = Clock(folder)
    clock.write({**begun("an-id", {}).to_dict(), "time": clock.time, "host": socket.gethostname()})
    for epoch in range(1, 5):
        clock.append("report", row={"epoch": epoch, "eval/knn_top1": epoch / 10})
        if epoch == 2:  # both in one instant: of the pace nothing is known
            text = clock.path.read_text()
            clock.path.write_text(text.replace(f'"time": {clock.time - 1}', '"time": 1000.0'))
            assert read_status(find(str(folder)), now=clock.time).left_seconds is None
            clock.path.write_text(text)
    status = read_status(find(str(folder)), now=clock.time - 1)
    assert (status.kind, status.state, status.left_seconds) == ("run", "running", 6.0)
    assert "one  epoch 4/10  eval/knn_top1 0.4000" in status.lines()
    assert json.loads(json.dumps(status.to_dict()))["running"][0]["epoch"] == 4


def test_spans_are_said_in_the_units_that_matter():
    assert [span(s) for s in (3.2, 75, 7500)] == ["3 s", "1 min 15 s", "2 h 05 min"]
