"""`raymoco doctor` names what would stop a run, and what to type; else it ends with 0."""

import socket

import pytest
import torch
from typer.testing import CliRunner

from raymoco.cli import app


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("RAY_ADDRESS", "RAY_TMPDIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def doctor(*words):
    done = CliRunner().invoke(app, ["doctor", *words])
    return done.exit_code, done.output


def test_a_machine_that_can_run_digits_has_nothing_that_stops(tmp_path):
    code, said = doctor("digits")
    assert code == 0, said
    assert "STOP" not in said
    for what in ("python", "packages", "device", "cores", "memory", "output", "ray", "mlflow"):
        assert f"ok    {what} " in said
    assert "digits, 10 classes" in said
    assert not list(tmp_path.iterdir())  # it only looks


def test_a_cluster_that_does_not_answer_stops(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free.getsockname()[1]}")
        code, said = doctor()
    assert code == 1
    assert "STOP  ray       nothing answers at RAY_ADDRESS" in said
    assert "-> start the cluster, or unset RAY_ADDRESS" in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_gpus_that_are_not_there_and_images_that_are_missing_stop():
    code, said = doctor("cifar10")
    assert code == 1
    assert "but the config asks for 1 GPUs" in said
    assert "-> scale.gpus_per_worker=0" in said
    assert "holds no CIFAR-10" in said


def test_an_output_that_is_a_file_stops(tmp_path):
    (tmp_path / "runs").write_text("")
    code, said = doctor()
    assert code == 1
    assert "STOP  output" in said


def test_a_server_that_does_not_answer_is_told_and_stops_nothing(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://me:secret@127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        code, said = doctor()
    assert code == 0
    assert "note  mlflow" in said
    assert "does not answer" in said
    assert "secret" not in said
