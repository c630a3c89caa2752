"""Real signals and really full disks, sent to `raymoco train` and `sweep` as processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raymoco.engine.metrics_csv import read_metrics
from raymoco.engine.run_events import RUN_EVENTS
from raymoco.event_log import Closed, read_journal
from tests.live_sweeps import begin as begin_sweep
from tests.live_sweeps import wait_until
from tests.small import small_sweep, small_words

RUN = small_words(tracking__uri="none", eval__linear__epochs=0)
SEARCH = """\
kind: search
search: {method.temperature: {uniform: [0.05, 0.5]}}
sampler: {name: random}
budget: {trials: 5, concurrent: 1}
tracking: {uri: none}
"""


def begin(head, output: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """`raymoco train` as a process that joins the head, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "raymoco", *RUN, f"output={output}", "name=t", *words],
        env={**head.environment, "RAY_ADDRESS": head.address, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextlib.contextmanager
def ended(process):
    """Kill what a failing test leaves."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def reached(folder, epoch):
    """Whether a checkpoint of this epoch or a later one is there: older ones are deleted soon."""
    names = [path.stem for path in (folder / "checkpoints").glob("epoch-*.pt")]
    return any(int(name.removeprefix("epoch-")) >= epoch for name in names)


def last_event(folder):
    return read_journal(folder / "journal.jsonl", RUN_EVENTS)[-1]


def test_sigterm_in_training_ends_with_a_word_and_a_resume_goes_on(head, raymoco, tmp_path):
    folder = tmp_path / "t"
    with ended(begin(head, tmp_path, "epochs=200")) as process:
        wait_until(lambda: reached(folder, 4), process=process)
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "interrupted\n")
    event = last_event(folder)
    assert isinstance(event, Closed)
    assert event.state == "stopped"
    trained = len(read_metrics(folder / "metrics.csv"))
    with ended(begin(head, tmp_path, "epochs=200", "--resume")) as process:
        wait_until(lambda: len(read_metrics(folder / "metrics.csv")) > trained, process=process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)  # two signals at once are one
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "resumed after epoch" in (folder / "log.txt").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_anything_is_written_leaves_nothing(head, tmp_path, number):
    with ended(begin(head, tmp_path)) as process:
        assert process.stdout.readline()  # shards are built, images are read
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "interrupted\n")
    assert not (tmp_path / "t").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("seconds", [1, 3, 5, 7, 9, 12])
def test_a_signal_to_the_group_at_any_moment_ends_with_a_word(head, tmp_path, number, seconds):
    # of a Ray of its own, which gets the signal too, as from a terminal or from Slurm
    with ended(begin(head, tmp_path, "epochs=5000", RAY_ADDRESS="local")) as process:
        time.sleep(seconds)
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "interrupted\n")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 8 MB, and what fills it."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield place, lambda: fill(place)
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place):
    with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as stream:
        while stream.write(bytes(2**14)):
            pass


def hidden(folder):
    """Files that writing has left, but for the lease and Ray's."""
    found = (path for path in folder.rglob(".*.*") if ".ray" not in path.parts)
    return [path.name for path in found]


def test_a_disk_that_fills_up_ends_a_run_in_a_sentence_and_with_room_it_goes_on(
    head, raymoco, small_disk
):
    place, fill_up = small_disk
    folder = place / "t"
    words = ("epochs=200", "model.width=16", "eval.every=200")
    with ended(begin(head, place, *words)) as process:
        wait_until(lambda: reached(folder, 3), process=process)
        fill_up()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert err.startswith(f"error: {folder}")
    assert ": no room for " in err
    assert "No space left on device; " in err
    assert err.count("\n") == 1
    assert hidden(folder) == []
    (place / "filler").unlink()
    done = raymoco(*RUN, f"output={place}", "name=t", *words, "--resume")
    assert done.returncode == 0, done.stderr
    epochs = [row["epoch"] for row in read_metrics(folder / "metrics.csv")]
    assert epochs == list(range(1, 201))


@pytest.mark.slow
def test_a_disk_that_fills_up_fails_no_trial_of_a_sweep(head, raymoco, small_disk, tmp_path):
    place, fill_up = small_disk
    file = small_sweep(tmp_path / "s.yaml", SEARCH, epochs=30, model__width=8, eval__every=30)
    folder = place / "s"
    with ended(begin_sweep(head, file, f"output={place}")) as process:
        wait_until((folder / "checkpoints" / "t001").exists, process=process)
        fill_up()
        out, err = process.communicate(timeout=60)
    assert process.returncode in (1, 2), out
    assert "no room for" in err
    assert "--resume" in err
    assert "Traceback" not in out + err
    assert hidden(folder) == []
    (place / "filler").unlink()
    done = raymoco("sweep", str(file), f"output={place}", "--resume")
    assert done.returncode == 0, done.stderr
    assert "5 completed" in done.stdout
