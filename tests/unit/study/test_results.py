"""How a sweep closes: each step of the numbered list in results.Closing, and what a kill leaves."""

import os
import signal

import pytest

from raymoco.engine.signals import Interrupts
from raymoco.errors import ConfigError, GangError
from raymoco.event_log import Closed, Journal, RunState, read_journal
from raymoco.study.journal.events import SWEEP_EVENTS, GangClosed
from raymoco.study.journal.ledger import load_ledger
from raymoco.study.journal.recorder import Recorder
from raymoco.study.launch import sweep
from raymoco.study.mlflow.translate import SweepTranslator
from raymoco.study.results import Closing
from raymoco.study.sweepfile.load import load_sweep
from raymoco.tracking import NOWHERE, Mirror, count_backlog, place_of
from raymoco.tracking.store import open_store
from tests.written_sweeps import write_ablation, write_search

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


class KilledError(BaseException):
    """Stands for the end of the process between two steps."""


class Ending:
    """A sweep whose trials have all ended, about to close; real journal, recorder and MLflow."""

    def __init__(self, folder, tracking_uri):
        self.folder, self.said, self.order = folder, [], []
        sweep = load_sweep(folder / "sweep.yaml")
        (folder / "trials.csv").unlink(missing_ok=True)  # as if it had not been written yet
        ledger = load_ledger(folder / "journal.jsonl")
        self.journal = Journal(folder / "journal.jsonl")
        self.recorder = Recorder(
            folder, ledger, self.journal, sweep.objectives, sweep.axes, lambda _: self.mirror.wake()
        )
        self.mirror = Mirror(
            place_of(folder, tracking_uri, None),
            lambda: SweepTranslator(folder, sweep),
            self.recorder.tracked,
        )
        self.mirror.start()
        self.signals = Interrupts()
        self.closing = Closing(
            sweep,
            sweep.base,
            folder,
            self.recorder,
            self.journal,
            self.mirror,
            self.signals,
            self.said.append,
            lambda: self.order.append("gangs closed"),
            lambda: self.order.append("broker killed"),
            lambda: self.order.append("optuna settled"),
        )

    def die(self):
        """What the end of the process frees."""
        self.mirror.close(hasty=True)
        self.journal.close()

    def close(self, before_step=None, number=0):
        """Run the closing; `before_step` is called before the step of this number."""
        steps = self.closing.steps

        def counted():
            for count, step in enumerate(steps(), start=1):
                if count == number:
                    yield before_step
                yield step

        self.closing.steps = counted
        with self.signals.installed():
            return self.closing.run(RunState.COMPLETED)

    def events(self):
        return read_journal(self.folder / "journal.jsonl", SWEEP_EVENTS)

    def there(self):
        """What has been written by now."""
        names = ("trials.csv", "best.yaml", "cells.csv", "report.html", ".closed")
        found = {name for name in names if (self.folder / name).exists()}
        if any(isinstance(event, Closed) for event in self.events()):
            found.add("closed")
        return found | set(self.order)


@pytest.fixture
def begin():
    """Begins the ending of a sweep's folder; files and threads are closed after the test."""
    begun = []

    def ending(folder, tracking_uri=NOWHERE):
        begun.append(Ending(folder, tracking_uri))
        return begun[-1]

    yield ending
    for one in begun:
        one.die()


# what each step leaves behind, by its number; those without a trace in the folder are below
LEFT = {
    1: "gangs closed",
    3: "optuna settled",
    4: "trials.csv",
    5: "best.yaml",
    6: "cells.csv",
    7: "report.html",
    8: "closed",
    12: ".closed",
    13: "broker killed",
}


@pytest.mark.parametrize("number", range(1, 14))
def test_a_kill_before_a_step_leaves_all_that_the_steps_before_it_write(begin, tmp_path, number):
    # an ablation has tables of cells, a search has a best.yaml
    cells = number in (7, 8)
    folder = tmp_path / "one"
    ending = begin(write_ablation(folder) if cells else write_search(folder, trials=6))

    def kill():
        raise KilledError

    with pytest.raises(KilledError):
        ending.close(kill, number)
    own = {"best.yaml": not cells, "cells.csv": cells}
    before = {what for step, what in LEFT.items() if step < number and own.get(what, True)}
    assert ending.there() == before
    # and a resume closes it whole
    ending.die()
    again = begin(folder)
    assert again.close() == "completed"
    assert again.there() == {what for what in LEFT.values() if own.get(what, True)}


@pytest.mark.parametrize("number", range(1, 14))
def test_a_step_that_fails_keeps_no_other_from_being_taken(begin, tmp_path, number):
    ending = begin(write_search(tmp_path / "one", trials=6))

    def fail():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        ending.close(fail, number)
    everything = {what for what in LEFT.values() if what != "cells.csv"}
    # after step 12 `.closed` is there: what fails then is the end of the broker
    assert ending.there() == everything - (set() if number == 13 else {".closed"})


def test_what_ended_a_sweep_is_raised_and_what_fails_while_it_closes_is_said(begin, tmp_path):
    ending = begin(write_search(tmp_path / "one", trials=6))

    def fail():
        raise OSError(28, "No space left on device")

    ending.closing.close_gangs = ending.closing.settle = fail
    with pytest.raises(GangError, match="no gang is left"):
        ending.closing.run(RunState.FAILED, GangError("no gang is left"))
    said = "warning: while the sweep was closed: OSError: [Errno 28] No space left on device"
    assert ending.said == [said, said]
    assert "broker killed" in ending.order


def test_the_recorder_writes_down_what_gangs_say_while_they_shut_down(begin, tmp_path):
    ending = begin(write_search(tmp_path / "one", trials=6))
    event = GangClosed(gang="gang-0", reason="the sweep is over", orderly=True)
    ending.closing.close_gangs = lambda: ending.recorder.record(event)
    ending.close()
    kinds = [type(event) for event in ending.events()]
    assert kinds.index(GangClosed) < kinds.index(Closed)


def test_mlflow_keeps_the_report_and_its_ids_come_into_the_table(begin, tmp_path):
    folder = write_search(tmp_path / "one", trials=6)
    begin(folder, None).close()
    place = place_of(folder, None, None)
    assert count_backlog(place, SWEEP_EVENTS).events == 0
    client, experiment = open_store(place.uri, place.experiment, None)
    (parent,) = client.search_runs([experiment], "tags.`raymoco.kind` = 'search'")
    kept = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "trials.csv", "best.yaml"} <= kept
    assert parent.info.status == "FINISHED"
    head, *rows = (folder / "trials.csv").read_text().splitlines()
    assert head.endswith("mlflow_run_id")
    assert all(len(row.rpartition(",")[2]) == 32 for row in rows)


def test_a_report_that_fails_is_told_and_the_sweep_is_completed(begin, tmp_path, monkeypatch):
    ending = begin(write_search(tmp_path / "one", trials=6))
    (tmp_path / "one" / "report.html").mkdir()  # so that it cannot be written
    assert ending.close() == "completed"
    (line,) = ending.said
    assert line.startswith("warning: the report could not be written: [Errno 21]")
    assert line.endswith(f"again: raymoco report {tmp_path / 'one'}")
    assert (tmp_path / "one" / ".closed").exists()


def test_a_signal_during_the_report_stops_the_sweep_and_a_resume_writes_the_report(begin, tmp_path):
    ending = begin(write_search(tmp_path / "one", trials=6))
    state = ending.close(lambda: os.kill(os.getpid(), signal.SIGINT), 7)
    assert state == "stopped"
    assert ending.said[0].startswith("interrupted: the report is left out; write it with: raymoco")
    assert ending.there() == {
        what for what in LEFT.values() if what not in ("cells.csv", "report.html", ".closed")
    }
    assert [e.state for e in ending.events() if isinstance(e, Closed)] == ["stopped"]
    ending.die()
    again = begin(tmp_path / "one")
    assert again.close() == "completed"
    assert (tmp_path / "one" / "report.html").exists()


def test_a_sweep_whose_trials_a_signal_has_ended_has_its_report(begin, tmp_path):
    ending = begin(write_search(tmp_path / "one", trials=6))
    ending.signals.heard = True
    assert ending.closing.run(RunState.STOPPED) == "stopped"
    assert ending.said == []
    assert (tmp_path / "one" / "report.html").exists()


def test_a_signal_in_another_step_changes_only_how_long_mlflow_is_waited_for(begin, tmp_path):
    ending = begin(write_search(tmp_path / "one", trials=6))
    assert ending.close(lambda: os.kill(os.getpid(), signal.SIGTERM), 10) == "completed"
    assert ending.signals.heard
    assert ending.there() == {what for what in LEFT.values() if what != "cells.csv"}


def test_the_list_in_the_docstring_has_as_many_steps_as_there_are(begin, tmp_path):
    numbers = [
        int(line.split(".")[0])
        for line in (Closing.__doc__ or "").splitlines()
        if line.strip()[:1].isdigit()
    ]
    ending = begin(write_ablation(tmp_path / "one"))
    assert numbers == list(range(1, 1 + len(list(ending.closing.steps()))))


def test_a_sweeps_own_file_resumes_its_own_folder_from_anywhere(tmp_path, monkeypatch):
    folder = write_ablation(tmp_path / "o" / "terms")
    (folder / ".closed").touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    before = (folder / "sweep.yaml").read_text()
    assert sweep("../o/terms/sweep.yaml", resume=True).folder == folder
    with pytest.raises(ConfigError, match="exists already"):
        sweep("../o/terms/sweep.yaml")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (folder / "sweep.yaml").read_text() == before
