"""The view of a sweep that is stored in its experiment, as MLflow's page shows it."""

import json

import pytest
from mlflow.tracking import MlflowClient

from raymoco.event_log import begun
from raymoco.study.journal.events import Ended, Proposed, Reported, TrialState
from raymoco.study.journal.find import find
from raymoco.study.mlflow.sync import sync
from raymoco.tracking.server import LocalServer
from raymoco.tracking.shared_view import view_path
from tests.ports import free_port

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

SWEEP = """\
kind: search
name: small
run: {preset: digits, epochs: 3}
search:
  method.temperature: {loguniform: [0.05, 0.5]}
  method.queue_size: {choice: [64, 128]}
budget: {trials: 3}
"""


def write_sweep(folder, identity):
    """Three trials with three epochs each, and one that confirms."""
    folder.mkdir()
    (folder / "sweep.yaml").write_text(SWEEP.replace("small", folder.name))
    events = [begun(identity, {})]
    for number in range(4):
        values = {"method.temperature": 0.1 + number / 10, "method.queue_size": 64}
        trial_id, cell = (f"t{number}", "") if number < 3 else ("t2-s7", "t2")
        about = {"trial_id": trial_id, "values": values, "cell": cell, "seed": 0, "config": ""}
        events.append(Proposed(**about))
        for epoch in (1, 2, 3):
            row = {"epoch": epoch, "eval/knn_top1": 0.5 + number / 10, "train/loss": 1 / epoch}
            events.append(Reported(trial_id=trial_id, row=row, checkpoint=None))
        events.append(Ended(trial_id=trial_id, state=TrialState.COMPLETED, reason=""))
    lines = [json.dumps(event.to_dict()) for event in events]
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    sync(find(str(folder)))


@pytest.fixture
def server(tmp_path):
    write_sweep(tmp_path / "one", "0123456789abcdef")
    write_sweep(tmp_path / "other", "fedcba9876543210")
    one = LocalServer(f"sqlite:///{tmp_path}/mlflow.db", free_port(), tmp_path / "server.log")
    yield one.start()
    one.kill()


def test_it_shows_the_sweeps_own_trials_best_first_and_what_varies(server, visit):
    experiment = MlflowClient(server.uri).get_experiment_by_name("raymoco").experiment_id
    window = visit(width=1600)
    window.page.goto(server.uri + view_path(experiment, "0123456789abcdef"), timeout=90_000)
    window.page.locator(".parcoords").first.wait_for(timeout=90_000)
    text = window.page.locator("body").inner_text()
    assert "viewing a shared view" in text
    assert "3 matching runs" in text, "not the other sweep's, and not what confirms"
    names = ["T=0.3 K=64", "T=0.2 K=64", "T=0.1 K=64"]
    places = [text.index(name) for name in names]
    assert places == sorted(places)
    # long names are cut in the middle
    drawn = window.page.locator(".parcoords").first.text_content()
    assert all(end in drawn for end in ("rature", "size", "eval/knn")), drawn
    assert "one" in text[text.index("matching runs") :].split("\n")[:6]
