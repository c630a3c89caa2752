"""Locks: one process holds, a kill lets go. Paths: they begin where the process stood at first."""

import os
import sys
from pathlib import Path

import pytest

from raymoco.config import load_run_config
from raymoco.engine.resolve import resolve
from raymoco.errors import ConfigError, DiskFullError, InputError
from raymoco.files import (
    absolute,
    append_line,
    bytes_in_words,
    standing_in,
    working_directory,
    write_atomically,
)
from tests.full_disk import room


def test_a_relative_path_begins_where_the_process_stood_at_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    before = list(sys.path)
    config = load_run_config("digits", ["data.labelled_list=listed.txt"])
    with standing_in(tmp_path / "stays", working_directory()):
        assert Path.cwd() == tmp_path / "stays"
        assert absolute("data/images") == tmp_path / "data" / "images"
        assert absolute("~") == Path.home()
        resolved = resolve(config, channels=1, train_images=1000)
        assert resolved.data.labelled_list == str(tmp_path / "listed.txt")
        assert str(tmp_path) in sys.path
    assert Path.cwd() == tmp_path
    assert sys.path == before
    monkeypatch.chdir(tmp_path / "stays")
    assert absolute("here") == tmp_path / "stays" / "here"


def test_a_process_that_stands_elsewhere_already_is_not_moved_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = standing_in(tmp_path / "first", working_directory())
    second = standing_in(tmp_path / "second", working_directory())
    first.__enter__()
    second.__enter__()
    assert Path.cwd() == tmp_path / "first"
    # as two runs in two threads of a notebook may: the first to begin is the first to end
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert Path.cwd() == tmp_path
    assert absolute("x") == tmp_path / "x"


def test_a_working_directory_that_goes_is_left_and_come_back_to(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    before = working_directory()
    (tmp_path / "gone").rmdir()
    with standing_in(tmp_path / "stays", before):
        assert absolute("x") == tmp_path / "gone" / "x"
    with pytest.raises(FileNotFoundError):
        os.getcwd()
    assert absolute(tmp_path / "x") == tmp_path / "x"
    with pytest.raises(InputError, match="the working directory was deleted"):
        absolute("x")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match=r"/file/out cannot be made a folder: Not a directory\."),
        standing_in(tmp_path / "file" / "out", working_directory()),
    ):
        pass


def test_a_full_disk_leaves_the_old_content_no_other_file_and_a_sentence(tmp_path):
    path = tmp_path / "config.yaml"
    write_atomically(path, "old")
    with room(1000), pytest.raises(DiskFullError) as refused:
        write_atomically(path, "x" * 5000)
    assert str(refused.value).startswith(
        f"{tmp_path}: no room for config.yaml, which takes 5.0 kB: File too large; "
    )
    assert "are free. Make room there" in str(refused.value)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("config.yaml", "old")]


def test_a_line_of_a_log_that_finds_no_room_is_told_too(tmp_path):
    with room(10), pytest.raises(DiskFullError, match=r"no room for log\.txt"):
        append_line(tmp_path / "log.txt", "x" * 20)


@pytest.mark.parametrize(
    ("count", "words"), [(12, "12 bytes"), (1500, "1.5 kB"), (37 * 10**10, "370.0 GB")]
)
def test_bytes_are_told_in_a_unit(count, words):
    assert bytes_in_words(count) == words
