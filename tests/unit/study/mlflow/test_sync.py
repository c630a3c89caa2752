"""`raymoco sync` of a run, to another store, and where it refuses."""

import pytest
from mlflow.tracking import MlflowClient

from raymoco.config import load_run_config
from raymoco.engine.run_events import EpochDone
from raymoco.errors import ConfigError
from raymoco.event_log import Closed, Journal, RunState, begun
from raymoco.locks import lease
from raymoco.study.journal.find import find
from raymoco.study.mlflow.sync import sync

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

SWEEP = """\
kind: search
name: small
run: {preset: digits, epochs: 3}
search: {method.temperature: {loguniform: [0.05, 0.5]}}
budget: {trials: 1}
"""


def write_run(folder, *overrides):
    folder.mkdir(parents=True)
    config = load_run_config("digits", ["epochs=2", "name=one", *overrides])
    (folder / "config.yaml").write_text(config.to_yaml())
    (folder / "metrics.csv").write_text("epoch\n")
    (folder / "predictions.npz").write_bytes(b"what it predicted")
    journal = Journal(folder / "journal.jsonl")
    journal.append(begun("an-id", {"raymoco.device": "cpu"}))
    for epoch in (1, 2):
        journal.append(EpochDone(row={"epoch": epoch, "eval/knn_top1": epoch / 4}))
    journal.append(Closed(state=RunState.COMPLETED))
    journal.close()
    return folder


def only_run(uri):
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("raymoco")
    (run,) = client.search_runs([experiment.experiment_id])
    return run, client


def test_a_run_is_delivered_once_to_its_own_store_and_once_to_another(tmp_path):
    folder = write_run(tmp_path / "one")
    done = sync(find(str(folder)))
    assert done.lines() == [f"delivered 2 points (4 events) to sqlite:///{tmp_path}/mlflow.db"]
    assert "has everything" in sync(find(str(folder))).lines()[0]
    other = f"sqlite:///{tmp_path}/other.db"
    assert sync(find(str(folder)), other).outcome.points == 2
    for uri in (f"sqlite:///{tmp_path}/mlflow.db", other):
        run, client = only_run(uri)
        assert run.info.run_name == "one"
        assert run.info.status == "FINISHED"
        assert run.data.params["method.temperature"] == str(
            load_run_config("digits").method.temperature
        )
        assert not any(name.startswith("eval") for name in run.data.params)
        assert run.data.tags["raymoco.seed"] == "0"
        history = client.get_metric_history(run.info.run_id, "eval/knn_top1")
        assert [(point.step, point.value) for point in history] == [(1, 0.25), (2, 0.5)]
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert files == {"config.yaml", "metrics.csv", "predictions.npz"}


def test_a_run_that_logs_nowhere_needs_an_address(tmp_path):
    folder = write_run(tmp_path / "one", "tracking.uri=none")
    with pytest.raises(ConfigError, match="say where to deliver with --uri"):
        sync(find(str(folder)))


def test_a_sweep_that_runs_delivers_by_itself(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "sweep.yaml").write_text(SWEEP)
    with (
        lease(folder, "sweep"),
        pytest.raises(ConfigError, match="another process is running this sweep"),
    ):
        sync(find(str(folder)))
