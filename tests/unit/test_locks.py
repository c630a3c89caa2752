"""Leases on storage without flock: a marker file that a living process holds."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from raymoco.config import DataConfig
from raymoco.data.shards.ensure import ensure_shards
from raymoco.errors import ConfigError
from raymoco.locks import LEASE, alone, hold, is_used, lease, marker_of
from raymoco.tracking.store import open_store

PLAIN_HOLDER = """\
import sys, time
from pathlib import Path
from raymoco.locks import hold
lock = hold(Path(sys.argv[1]))
assert lock
print("held", flush=True)
time.sleep(600)
"""
HOLDER = """\
import errno, fcntl, sys, time
from pathlib import Path
def none(*_): raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = none
from raymoco.locks import hold
lock = hold(Path(sys.argv[1]))
assert lock
print("held", flush=True)
time.sleep(600)
"""


def held_and_killed(code, path):
    """Let another process hold a lock, see that it does, and kill it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        assert hold(path) is None
    finally:
        holder.kill()
        holder.wait(10)
        holder.stdout.close()


def test_a_killed_process_lets_go_of_what_it_held(tmp_path):
    held_and_killed(PLAIN_HOLDER, tmp_path / "lock")
    lock = hold(tmp_path / "lock")
    assert lock is not None
    lock.release()


@pytest.fixture
def no_flock(monkeypatch, request):
    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


every = pytest.mark.parametrize(
    "no_flock", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], indirect=True
)


@every
def test_without_flock_one_holds_and_the_next_is_refused(no_flock, tmp_path):
    with lease(tmp_path / "run", "run"):
        assert hold(tmp_path / "run" / LEASE) is None
        with (
            pytest.raises(ConfigError, match="another process is running this run") as refused,
            lease(tmp_path / "run", "run"),
        ):
            pass
        assert f"it is process {os.getpid()} on " in str(refused.value)
        assert "delete the file if that process is gone" in str(refused.value)
    with lease(tmp_path / "run", "run"):
        pass
    assert not is_used(tmp_path / "run")


@pytest.mark.parametrize("no_flock", [errno.ENOLCK], indirect=True)
def test_without_flock_a_killed_process_lets_go_too(no_flock, tmp_path):
    path = tmp_path / LEASE
    held_and_killed(HOLDER, path)
    assert marker_of(path).exists()
    with alone(path):  # the marker of a process that is gone is taken over
        assert hold(path) is None
    assert not marker_of(path).exists()


def test_other_errors_of_a_lock_are_not_taken_for_missing_locks(tmp_path):
    (tmp_path / LEASE).mkdir()
    with pytest.raises(IsADirectoryError):
        hold(tmp_path / LEASE)


# MLflow 3.17's own use of SQLAlchemy
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.parametrize("no_flock", [errno.ENOLCK], indirect=True)
def test_without_flock_shards_are_built_and_a_store_is_made(no_flock, tmp_path):
    found = ensure_shards(DataConfig(), tmp_path)
    assert not [path.name for path in found.folder.iterdir() if "lock" in path.name]
    open_store(f"sqlite:///{tmp_path}/mlflow.db", "raymoco", tmp_path / "mlartifacts")
    assert (tmp_path / "mlflow.db").exists()
    assert not list(tmp_path.glob("*.held"))


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
