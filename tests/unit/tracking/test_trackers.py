"""Every tracker passes one suite: MLflow's store, and one that lives outside the package."""

import json
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from raymoco.config import RunConfig, load_run_config
from raymoco.engine.mlflow_run import RunTranslator
from raymoco.engine.train import train
from raymoco.errors import ConfigError, InputError
from raymoco.event_log import Journal, begun
from raymoco.study.journal.find import find
from raymoco.study.mlflow.sync import UndeliveredError, sync
from raymoco.testing import HeldRun, check_tracker
from raymoco.tracking import Mirror, RefusedError, check_tracking, missing_lines, place_of
from tests.unit.study.mlflow.test_sync import write_run
from tests.unit.tracking.json_lines import JsonLines

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
HERE = "tests.unit.tracking"
JSON_LINES = f"{HERE}.json_lines:JsonLines"


def read_mlflow(place, owner):
    client = MlflowClient(place.uri)
    experiment = client.get_experiment_by_name(place.experiment)
    found = {}
    for run in client.search_runs([experiment.experiment_id], f"tags.`raymoco.sweep_id`='{owner}'"):
        points = [
            (name, point.step, point.value)
            for name in run.data.metrics
            for point in client.get_metric_history(run.info.run_id, name)
        ]
        artifacts = [file.path for file in client.list_artifacts(run.info.run_id)]
        key = run.data.tags["raymoco.trial_id"]
        assert key not in found, "a run twice"
        found[key] = HeldRun(run.data.params, run.data.tags, points, artifacts)
    return found


def read_json_lines(place, owner):
    file, found = Path(place.address), {}
    for line in file.read_text().splitlines() if file.exists() else ():
        said = json.loads(line)
        if said["owner"] != owner:
            continue
        run = found.setdefault(said["key"], HeldRun({}, {}, [], []))
        run.params.update(said.get("params", {}))
        run.tags.update(said.get("tags", {}))
        if "point" in said:
            point = said["point"]
            run.points.append((point["name"], point["step"], point["value"]))
        if "artifact" in said:
            run.artifacts.append(said["artifact"])
    return found


def test_mlflow_keeps_the_suite_of_trackers(tmp_path):
    check_tracker(f"sqlite:///{tmp_path}/mlflow.db", read_mlflow)


def test_a_tracker_from_outside_keeps_the_suite_of_trackers(tmp_path):
    check_tracker(f"{JSON_LINES}?{tmp_path}/log.jsonl", read_json_lines)


class Doubles(JsonLines):
    """Writes a point again when it comes again."""

    def write(self, change):
        self._seen.clear()
        super().write(change)


class Forgets(JsonLines):
    """Does not find again what an earlier process wrote."""

    def __init__(self, place, owner):
        super().__init__(place, owner)
        self.ids, self._seen = {}, set()


class Accepts(JsonLines):
    """Takes what nobody has begun."""

    def write(self, change):
        change.name = change.name or "a name"
        super().write(change)


class Loses(JsonLines):
    """Keeps the first value of each metric alone."""

    def write(self, change):
        del change.points[1:]
        super().write(change)


class Mixes(JsonLines):
    """Does not tell one sweep from another."""

    def __init__(self, place, owner):
        super().__init__(place, owner)
        self.ids = self.ids or {"": "somebody's"} if self._file.exists() else {}


class NoWrite:
    """Not a tracker."""

    def __init__(self, place, owner):
        self.ids = {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Doubles", "a second delivery of the same changes it|but must be"),
        ("Forgets", "it does not find the runs|but must be|second delivery"),
        ("Accepts", "it takes a change of a run that nobody has begun"),
        ("Loses", r"train/loss is \[\(1, 1.0\)\] after one delivery, but must be"),
        ("Mixes", "shows one sweep the runs of another"),
        ("NoWrite", r"it is no tracker: it has no write\(\)"),
        ("Gone", "has no 'Gone'"),
    ],
)
def test_the_suite_says_in_a_sentence_what_a_tracker_does_wrong(tmp_path, name, words):
    with pytest.raises(AssertionError, match=words):
        check_tracker(f"{HERE}.test_trackers:{name}?{tmp_path}/log.jsonl", read_json_lines)


def test_a_run_is_delivered_to_a_tracker_from_outside_once(tmp_path):
    uri = f"{JSON_LINES}?{tmp_path}/log.jsonl"
    folder = write_run(tmp_path / "one", f"tracking.uri={uri}")
    assert sync(find(str(folder))).lines() == [f"delivered 2 points (4 events) to {uri}"]
    assert "has everything" in sync(find(str(folder))).lines()[0]
    (run,) = read_json_lines(place_of(folder, uri, None), "an-id").values()
    assert run.curve("eval/knn_top1") == [(1, 0.25), (2, 0.5)]
    assert run.artifacts == ["config.yaml", "metrics.csv", "predictions.npz"]


class Away(JsonLines):
    """Does not answer."""

    def __init__(self, place, owner):
        raise ConnectionError("Connection refused by the lab's tracker")


class Picky(JsonLines):
    """Takes no value of an epoch."""

    def write(self, change):
        if change.points:
            raise RefusedError("no quota left for points")
        super().write(change)


def test_what_a_tracker_from_outside_does_not_take_is_told_by_its_own_name(tmp_path):
    folder = write_run(tmp_path / "one")
    away = f"{HERE}.test_trackers:Away"
    words = rf"^{away} did not take everything \(connection refused\): .* 2 wait in the journal"
    with pytest.raises(UndeliveredError, match=words):
        sync(find(str(folder)), away)
    picky = f"{HERE}.test_trackers:Picky?{tmp_path}/log.jsonl"
    done = sync(find(str(folder)), picky)
    assert done.lines()[1] == "refused one: no quota left for points"
    (line,) = missing_lines(place_of(folder, picky, None), done.outcome)
    assert line.startswith(f"warning: {HERE}.test_trackers:Picky refused one: no quota")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("nowhere.at_all:Store", "tracking.uri is 'nowhere.at_all:Store', but there is no module"),
        (f"{HERE}.test_trackers:NoWrite?x", r"it is no tracker: it has no write\(\)"),
        ("localhost:5000", "or your own package.module:Name"),
    ],
)
def test_a_wrong_tracker_is_refused_before_anything_is_written(tmp_path, uri, words):
    config = RunConfig().with_values({"tracking.uri": uri, "output": str(tmp_path / "runs")})
    with pytest.raises(InputError, match=words) as refused:
        train(config)
    assert refused.value.exit_code == 2
    assert not (tmp_path / "runs").exists()
    folder = write_run(tmp_path / "one")
    with pytest.raises(InputError, match=words):
        sync(find(str(folder)), uri)


def test_reading_a_folder_imports_nobodys_tracker(tmp_path):
    from raymoco.study.terminal.status import read_status

    folder = write_run(tmp_path / "one", "tracking.uri=nowhere.at_all:Store")
    assert read_status(find(str(folder))).mlflow.points_waiting == 2
    assert load_run_config(str(folder / "config.yaml")).tracking.uri == "nowhere.at_all:Store"


def test_the_mirror_imports_a_tracker_before_its_thread_starts(tmp_path):
    folder = tmp_path / "one"
    journal = Journal(folder / "journal.jsonl")
    journal.append(begun("an-id", {}))
    journal.close()
    place = place_of(folder, "nowhere.at_all:Store", None)
    with pytest.raises(ConfigError, match="there is no module 'nowhere'"):
        Mirror(place, lambda: RunTranslator(folder, RunConfig())).start()
    check_tracking(f"{JSON_LINES}?x", tmp_path)
