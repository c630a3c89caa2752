"""The MLflow writer, on a real sqlite store and on a server that is not there."""

import socket
import time

import pytest
from mlflow.tracking import MlflowClient

from raymoco.errors import InputError
from raymoco.tracking import open_tracker, tracking_uri

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def test_parent_and_child_hold_what_was_logged_and_a_child_goes_on_in_its_run(tmp_path):
    tracker = open_tracker(None, None, tmp_path)
    tracker.start_run("", "sweep", tags={"raymoco.kind": "search"})
    tracker.start_run("t000", "T=0.1", params={"method.temperature": 0.1}, parent="")
    for epoch in (1, 2):
        tracker.log_row("t000", {"eval/knn_top1": 0.5 + epoch / 10}, epoch)
    run_id = tracker.run_id("t000", timeout_s=60)
    assert tracker.close() == []

    again = open_tracker(None, None, tmp_path)
    again.start_run("t000", "another name", run_id=run_id)
    again.log_row("t000", {"eval/knn_top1": 0.8}, 3)
    again.log_text("t000", "note.txt", "hello")
    again.end_run("t000", "pruned")
    assert again.close() == []

    client = MlflowClient(tracking_uri(None, tmp_path))
    run = client.get_run(run_id)
    assert run.info.run_name == "T=0.1"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"method.temperature": "0.1"}
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.info.run_name == "sweep"
    history = client.get_metric_history(run_id, "eval/knn_top1")
    assert [(point.step, point.value) for point in history] == [(1, 0.6), (2, 0.7), (3, 0.8)]
    assert [file.path for file in client.list_artifacts(run_id)] == ["note.txt"]


def test_a_server_that_is_not_there_delays_nobody_and_what_it_missed_is_named(tmp_path):
    with socket.socket() as taken:  # bound and not listening: refused at once, and nobody else's
        taken.bind(("127.0.0.1", 0))
        tracker = open_tracker(f"http://127.0.0.1:{taken.getsockname()[1]}", None, tmp_path)
        started = time.monotonic()
        tracker.start_run("", "sweep")
        tracker.log_row("", {"eval/knn_top1": 0.5}, 1)
        assert time.monotonic() - started < 1
        missing = tracker.close(timeout_s=3)
    assert any("start of run 'sweep'" in line for line in missing) or "waiting" in missing[-1]


def test_nowhere_logs_nothing_and_another_scheme_is_refused(tmp_path):
    tracker = open_tracker("none", None, tmp_path)
    tracker.start_run("", "sweep")
    assert tracker.close() == []
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="sqlite:///PATH"):
        tracking_uri("localhost:5000", tmp_path)
