"""Locks between processes: one holds, a kill lets go, a file that is gone holds nobody off."""

import subprocess
import sys

from raymoco.files import hold

HOLDER = """\
import sys, time
from pathlib import Path
from raymoco.files import hold
lock = hold(Path(sys.argv[1]))
assert lock
print("held", flush=True)
time.sleep(600)
"""


def test_a_killed_process_lets_go_of_what_it_held(tmp_path):
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        assert hold(path) is None
    finally:
        holder.kill()
        holder.wait(10)
        holder.stdout.close()
    lock = hold(path)
    assert lock is not None
    lock.release()


def test_what_was_released_is_free_and_a_new_file_of_that_name_too(tmp_path):
    path = tmp_path / "lock"
    first = hold(path)
    assert hold(path) is None
    first.release()
    second = hold(path)
    assert second is not None
    path.rename(tmp_path / "published")  # as shards are, with their lock in the folder
    third = hold(path)
    assert third is not None
    second.release()
    third.release()
