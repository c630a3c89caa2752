"""Where a local Ray puts its sockets: a short path that this user may write to."""

import os
from pathlib import Path

import pytest

from raymoco.engine import ray_folder as module
from raymoco.engine.ray_folder import LONGEST, ray_folder, why_not
from raymoco.errors import ConfigError


@pytest.fixture
def unset(monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)


def test_ray_gets_its_usual_folder(unset):
    assert ray_folder() in (Path("/tmp/ray"), Path(f"/tmp/ray-{os.getuid()}"))


def test_a_tmpdir_too_long_for_sockets_is_not_used(unset, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/tmp/" + "x" * 90)
    assert not str(ray_folder()).startswith("/tmp/xxx")
    assert not Path("/tmp/" + "x" * 90).exists()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("/proc", "/proc/ray cannot be written to"),
        ("/dev/null", "/dev/null/ray cannot be written to: Not a directory"),
        ("/tmp/" + "x" * 90, f"has 99 bytes, and sockets allow {LONGEST}"),
    ],
)
def test_a_ray_tmpdir_that_will_not_do_is_refused_with_the_reason(monkeypatch, given, why):
    monkeypatch.setenv("RAY_TMPDIR", given)
    with pytest.raises(ConfigError) as refused:
        ray_folder()
    assert str(refused.value).startswith(f"RAY_TMPDIR is '{given}', but ")
    assert why in str(refused.value)
    assert "or unset it" in str(refused.value)


def test_a_folder_of_somebody_else_is_passed_over(unset, monkeypatch, tmp_path):
    taken, own = tmp_path / "taken", Path("/tmp/ray-test-own")
    taken.write_text("")  # holds for root too, who may write to every folder
    monkeypatch.setattr(module, "_candidates", lambda: iter([taken, own]))
    try:
        assert ray_folder() == own
    finally:
        own.rmdir()
    monkeypatch.setattr(module, "_candidates", lambda: iter([taken]))
    with pytest.raises(ConfigError, match=r"Ray has no folder for its sockets: .* Set RAY_TMPDIR"):
        ray_folder()


def test_a_path_that_fits_is_created_and_left_empty():
    place = Path("/tmp/ray-test-short")
    try:
        assert why_not(place) == ""
        assert list(place.iterdir()) == []
    finally:
        place.rmdir()
