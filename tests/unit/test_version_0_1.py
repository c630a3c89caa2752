"""What version 0.1 left is still shown, reported, synced and loaded."""

import csv
import socket

import pytest
import torch
from mlflow.tracking import MlflowClient

from raymoco import load_encoder, report
from raymoco.config import load_run_config
from raymoco.engine.checkpoint import find_checkpoint, load_checkpoint
from raymoco.event_log import read_journal
from raymoco.study.journal.events import SWEEP_EVENTS
from raymoco.study.journal.find import find
from raymoco.study.journal.ledger import load_ledger
from raymoco.study.mlflow.sync import sync
from raymoco.study.terminal.status import read_status
from tests.old_folders import FIXTURES, put_old_folder

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
TRIALS = {"ablation": 6, "search": 3, "killed": 3}


@pytest.mark.parametrize(
    ("name", "state", "counts"),
    [
        ("ablation", "completed", {"completed": 6}),
        ("search", "stopped", {"completed": 3}),
        ("killed", "interrupted", {"completed": 2, "running": 1}),
    ],
)
def test_status_shows_an_old_sweep(tmp_path, name, state, counts, monkeypatch):
    folder = put_old_folder(name, tmp_path)
    # as seen from the machine on which it ran: there its process is gone
    host = read_journal(folder / "journal.jsonl", SWEEP_EVENTS)[0].host
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    found = read_status(find(str(folder)))
    assert found.state == state
    assert {k: n for k, n in found.counts.items() if n} == counts
    assert found.lines()[0].startswith(f"{'ablation' if name != 'search' else 'search'} {name}: ")


def test_status_shows_an_old_run(tmp_path):
    found = read_status(find(str(put_old_folder("run", tmp_path))))
    assert (found.kind, found.state, found.epochs) == ("run", "completed", 2)


@pytest.mark.parametrize("name", TRIALS)
def test_an_old_sweep_is_reported(tmp_path, name):
    folder = put_old_folder(name, tmp_path)
    written = report(folder)
    text = written.html.read_text(encoding="utf-8")
    for trial in load_ledger(folder / "journal.jsonl").all():
        if trial.state == "completed" and not trial.cell:
            assert trial.trial_id in text
    if name == "ablation":
        # the numbers are those that version 0.1 wrote
        for table in ("cells.csv", "comparisons.csv", "effects.csv"):
            for now, then in zip(rows(folder / table), rows(FIXTURES / name / table), strict=True):
                assert {column: now[column] for column in then} == then


def rows(path):
    with path.open(newline="") as stream:
        return [
            {k: round(float(v), 9) if _is_number(v) else v for k, v in row.items()}
            for row in csv.DictReader(stream)
        ]


def _is_number(text):
    return text.lstrip("-").replace(".", "", 1).replace("e-", "", 1).isdigit()


@pytest.mark.parametrize("name", [*TRIALS, "run"])
def test_an_old_folder_is_synced_to_a_new_store(tmp_path, name):
    folder = put_old_folder(name, tmp_path)
    uri = f"sqlite:///{tmp_path}/another.db"
    assert sync(find(str(folder)), uri).outcome.points > 0
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("raymoco").experiment_id])
    assert len(runs) == (1 if name == "run" else 1 + TRIALS[name])


def test_an_old_checkpoint_and_its_config_load(tmp_path):
    folder = put_old_folder("run", tmp_path)
    encoder = load_encoder(str(folder))
    assert encoder.features(torch.zeros(2, 1, 8, 8)).shape == (2, 16)
    config = load_run_config(str(folder / "config.yaml"), [])
    saved = load_checkpoint(find_checkpoint(folder / "checkpoints"))
    assert saved.epoch == 2
    assert saved.run_config.digest() == config.digest() == "095a7723"
    assert config.run_name == "run"
