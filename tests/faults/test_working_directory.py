"""A driver's working directory is deleted while it runs: nothing is lost by that."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from raymoco.study.journal.find import find
from raymoco.study.mlflow.sync import sync
from tests.live_sweeps import end, wait_until
from tests.small import small_sweep, small_words

# MLflow 3.17's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

ROOT = Path(__file__).parents[2]
SWEEP = """\
kind: search
search: {method.temperature: {loguniform: [0.15, 0.5]}}
scheduler: {name: none}
sampler: {name: random, seed: 3}
budget: {trials: 2, concurrent: 1}
"""


def raymoco_in(environment, place, *words):
    """`raymoco ...`, started in a folder; the folder goes as soon as Ray is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "raymoco", *words],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until((place.parent / "out" / "shards").exists, process=process)
        shutil.rmtree(place)
        said, errors = process.communicate(timeout=300)
        assert process.returncode == 0, said + errors
        warned = [line for line in (said + errors).splitlines() if "warning" in line]
        # a small run is too short for its key encoder, and says so
        assert all("key encoder's first weights" in line for line in warned), warned
    finally:
        end(process)


def logged(output):
    client = MlflowClient(f"sqlite:///{output / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("raymoco")
    found = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in found} == {"FINISHED"}
    return client, {run.info.run_name: run for run in found}


@pytest.mark.parametrize(
    "cluster_of", ["somebody", pytest.param("its own", marks=pytest.mark.slow)]
)
def test_a_sweep_whose_working_directory_is_deleted_ends_well_and_mlflow_has_it_all(
    head, tmp_path, cluster_of
):
    joins = {"RAY_ADDRESS": head.address} if cluster_of == "somebody" else {}
    place, output = tmp_path / "gone", tmp_path / "out"
    place.mkdir()
    small_sweep(place / "small.yaml", SWEEP, epochs=3)
    raymoco_in({**head.environment, **joins}, place, "sweep", "small.yaml", f"output={output}")
    client, runs = logged(output)
    parent = runs.pop("small")
    assert len(runs) == 2
    for run in runs.values():
        history = client.get_metric_history(run.info.run_id, "eval/knn_top1")
        assert sorted(point.step for point in history) == [1, 2, 3]
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"sweep.yaml", "trials.csv"} <= files
    assert sync(find(str(output / "small"))).outcome.events == 0
    assert (output / "small" / "report.html").exists()


def test_a_run_whose_working_directory_is_deleted_ends_well_and_mlflow_has_it_all(head, tmp_path):
    place, output = tmp_path / "gone", tmp_path / "out"
    place.mkdir()
    words = small_words(epochs=3, output=output, name="one")
    raymoco_in({**head.environment, "RAY_ADDRESS": head.address}, place, *words)
    client, runs = logged(output)
    history = client.get_metric_history(runs["one"].info.run_id, "eval/knn_top1")
    assert sorted(point.step for point in history) == [1, 2, 3]
    files = {file.path for file in client.list_artifacts(runs["one"].info.run_id)}
    assert files == {"config.yaml", "metrics.csv", "predictions.npz"}


FAR = """\
import sys
from pathlib import Path
import ray
from raymoco.config import ScaleConfig
from raymoco.engine.cluster import connect

def imported():
    import in_the_directory, in_pythonpath
    return in_the_directory.__file__, in_pythonpath.__file__

with connect(ScaleConfig(), Path(sys.argv[1])):
    print(*ray.get(ray.remote(imported).remote()))
"""


def test_workers_import_from_where_the_command_was_typed(head, tmp_path):
    here, there = tmp_path / "in_the_directory.py", tmp_path / "lib" / "in_pythonpath.py"
    there.parent.mkdir()
    for module in (here, there):
        module.write_text("")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FAR, str(tmp_path / "out")],
        cwd=tmp_path,
        env={**head.environment, "PYTHONPATH": os.pathsep.join(["lib", str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.split() == [str(here), str(there)], done.stderr
