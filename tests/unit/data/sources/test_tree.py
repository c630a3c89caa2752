"""Links, pipes, permissions and names, as disks have them, never end a build or hang it."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from raymoco.config import DataConfig
from raymoco.data.sources.open import open_source
from raymoco.data.sources.source import stat_fingerprint
from raymoco.errors import DataError
from tests.people_folders import Link, Pipe, built, entries_of, image_bytes, people_folder, told

PETS = {"cats": 60, "dogs": 60}


def test_a_link_that_leads_nowhere_is_counted_with_the_corrupt(tmp_path):
    root = people_folder(
        tmp_path / "in",
        {
            **PETS,
            "cats/gone.png": Link("/nowhere"),
            "round": Link("round"),
            "latest": Link("/nowhere"),
        },
    )
    manifest = built(root, tmp_path / "out").manifest
    assert manifest.skipped == ("cats/gone.png",)
    corrupt = [remark.line() for remark in manifest.remarks if remark.kind == "corrupt"]
    assert corrupt == ["corrupt: 3 links that lead nowhere (cats/gone.png, latest, ...)"]
    assert "corrupt: 2 links that lead nowhere (latest, round)" in told(root)
    with pytest.raises(DataError, match=r"cats/gone.png"):
        built(root, tmp_path / "strict", strict=True)


def test_an_image_that_links_to_itself_is_corrupt(tmp_path):
    root = people_folder(tmp_path / "in", {**PETS, "cats/x.png": Link("x.png")})
    assert built(root, tmp_path / "out").manifest.skipped == ("cats/x.png",)


def test_a_link_to_an_image_is_that_image(tmp_path):
    people_folder(tmp_path, {"far": 1})
    root = people_folder(tmp_path / "in", {**PETS, "cats/near.png": Link(tmp_path / "far/0.png")})
    assert "cats/near.png" in entries_of(root)


def test_pipes_sockets_and_devices_are_passed_over_and_never_opened(tmp_path, monkeypatch):
    root = people_folder(
        tmp_path / "in",
        {**PETS, "cats/pipe.png": Pipe(), "cats/p": Pipe(), "cats/zero.png": Link("/dev/zero")},
    )
    monkeypatch.chdir(root)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as heard:
        heard.bind("cats/socket")
        assert built(root, tmp_path / "out", strict=True).manifest.skipped == ()
        assert "passed over: 4 pipes, sockets and devices" in told(root)


@pytest.fixture
def mere_user():
    """A folder that a user without rights may enter, with that user at work."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)
    shutil.rmtree(folder)


def test_what_cannot_be_opened_is_counted_with_the_corrupt(mere_user):
    root = people_folder(mere_user / "in", {**PETS, "secret": 2, "cats/what": "x"})
    for name in ("cats/0.png", "cats/what", "secret"):
        (root / name).chmod(0)
    shards = built(root, mere_user / "out")
    assert (shards.manifest.skipped, shards.classes) == (("cats/0.png",), ("cats", "dogs"))
    corrupt = [remark.line() for remark in shards.manifest.remarks if remark.kind == "corrupt"]
    assert "corrupt: 2 files that cannot be opened (cats/0.png, cats/what)" in corrupt
    assert "corrupt: 1 folders that cannot be opened (secret/)" in told(root)
    assert "corrupt: 1 files that cannot be opened (cats/what)" in told(root)


def test_links_back_up_end_and_repeat_nothing(tmp_path):
    root = people_folder(tmp_path / "in", {"cats": 2, "dogs": 2, "cats/up": Link("..")})
    people_folder(root, {"dogs/deep/top": Link(tmp_path / "in")})
    assert len(entries_of(root)) == 4


NAMES = [
    "a\u202fb",
    "a\u00a0b",
    "\U0001f468\u200d\U0001f469",
    " lead",
    "tail ",
    "it's #1, [x]; \\ %20",
]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_legal_names(tmp_path, name):
    root = people_folder(tmp_path / "in", {**PETS, f"cats/{name}.png": image_bytes("x"), name: 2})
    shards = built(root, tmp_path / "out", strict=True)
    assert name in shards.classes
    assert shards.manifest.counts["train"].rows
    assert f"cats/{name}.png" in entries_of(root)
    assert sum(shards.rows(split) for split in ("train", "eval", "test")) == 123


@pytest.mark.parametrize("name", [b"a\nb", b"a\tb", b"\xff\xfe", "a\u2028b".encode(), b"\x1b[31m"])
def test_names_that_no_list_can_hold_are_left_out_and_told(tmp_path, name):
    root = people_folder(tmp_path / "in", PETS)
    Path(os.fsdecode(os.fsencode(root / "cats") + b"/" + name + b".png")).write_bytes(
        image_bytes("x")
    )
    Path(os.fsdecode(os.fsencode(root / "cats") + b"/" + name + b".txt")).write_text("x")
    folder = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
    people_folder(folder, {"": 2})
    assert built(root, tmp_path / "out", strict=True).classes == ("cats", "dogs")
    assert "left out: 3 images whose names have control characters" in told(root)
    told(root).encode()  # can be printed


def test_the_fingerprint_of_a_clean_folder_is_that_of_version_0_1(tmp_path):
    root = people_folder(tmp_path / "in", {"cats": 3, "dogs": 3, "": 1})
    source = open_source(DataConfig(source="folder", root=str(root)))
    before = source.fingerprint()
    assert before == stat_fingerprint(root, entries_of(root))
    people_folder(root, {"cats/notes.txt": "x", "scripts/a.py": "x", ".git/x": "x"})
    assert source.fingerprint() == before
    people_folder(root, {"cats/new.png": image_bytes("new")})
    assert source.fingerprint() != before
