"""A real ablation, tuned inside its cells: its tables, its report, and its page in MLflow."""

import csv
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from scipy import stats

from raymoco.study.journal.ledger import load_ledger
from tests.ports import free_port
from tests.small import small_sweep

SWEEP = """\
kind: ablation
question: Does UniCon help?
factors:
  loss:
    info_nce: {method.loss: info_nce}
    unicon:   {method.loss: unicon}
tune:
  axes: {method.temperature: {loguniform: [0.05, 0.5]}}
  trials: 2
seeds: [0, 1, 2]
metric: test/knn_top1
budget: {concurrent: 1}
"""


@pytest.fixture(scope="module")
def finished(raymoco, tmp_path_factory):
    output = tmp_path_factory.mktemp("sweep")
    file = small_sweep(output / "small.yaml", SWEEP, epochs=2, data__labelled_fraction=0.3)
    done = raymoco("sweep", str(file))
    assert done.returncode == 0, done.stderr + done.stdout
    return output / "small", done


@pytest.fixture(scope="module")
def comparison(finished):
    """The address that `raymoco ui` prints, with its server up."""
    folder, _ = finished
    port = free_port()
    command = [sys.executable, "-m", "raymoco", "ui", str(folder), "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as ui:
        try:
            for line in ui.stdout:
                if line.startswith("compare"):
                    break
            address = line.split(maxsplit=1)[1].strip()
            assert address.startswith(f"http://127.0.0.1:{port}/")
            wait_for(f"http://127.0.0.1:{port}/health", ui)
            yield address
        finally:
            ui.terminate()
            ui.stdout.close()


def wait_for(address, process):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, "raymoco ui has ended"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{address} does not answer")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_cell_was_tuned_and_compared_at_its_own_best(finished):
    folder, _ = finished
    rows = rows_of(folder / "trials.csv")
    tuning = [row for row in rows if row["phase"] == "tune"]
    assert len(tuning) == 2 * 2
    assert len(rows) == 2 * 2 + 2 * 3
    assert {row["state"] for row in rows} == {"completed"}
    for cell in ("loss=info_nce", "loss=unicon"):
        mine = [row for row in tuning if row["cell"] == cell]
        best = max(mine, key=lambda row: float(row["eval/knn_top1"]))
        compared = {
            row["method.temperature"] for row in rows if row["cell"] == cell and not row["phase"]
        }
        assert compared == {best["method.temperature"]}


def test_scipy_reproduces_what_the_sweep_says(finished):
    folder, done = finished
    scores = {"loss=info_nce": {}, "loss=unicon": {}}
    for row in rows_of(folder / "trials.csv"):
        if not row["phase"]:
            scores[row["cell"]][row["seed"]] = float(row["test/knn_top1"])
    (row,) = rows_of(folder / "comparisons.csv")
    pairs = [[scores[cell][seed] for seed in "012"] for cell in (row["cell"], row["baseline"])]
    interval = stats.ttest_rel(*pairs).confidence_interval(0.95)
    assert (float(row["low"]), float(row["high"])) == pytest.approx(tuple(interval))
    assert f"95 % interval {interval.low:+.4f} to {interval.high:+.4f}" in done.stdout
    assert f"{interval.low:+.4f}".replace("-", "−") in (folder / "report.md").read_text()


# MLflow 3.17's own use of SQLAlchemy
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
def test_the_parent_run_has_the_report_and_its_summary(finished):
    folder, _ = finished
    client = MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "raymoco"]
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    note = parent.data.tags["mlflow.note.content"]
    assert note == (folder / "summary.md").read_text()
    assert "Does UniCon help?" in note
    there = {file.path for file in client.list_artifacts(parent.info.run_id)}
    tables = {"trials.csv", "cells.csv", "comparisons.csv", "effects.csv"}
    assert tables | {"report.html", "report.md", "report.tex", "figures"} <= there
    figures = {file.path for file in client.list_artifacts(parent.info.run_id, "figures")}
    assert {"figures/differences.png", "figures/differences.svg"} <= figures


def test_mlflows_comparison_lists_the_runs_and_draws_what_was_swept(finished, comparison, visit):
    folder, _ = finished
    trials = load_ledger(folder / "journal.jsonl").all()
    compared = [trial for trial in trials if not trial.phase]
    assert all(trial.mlflow_run_id in comparison for trial in compared)
    assert not any(trial.mlflow_run_id in comparison for trial in trials if trial.phase)
    window = visit()
    window.page.goto(comparison, timeout=90_000)
    window.page.locator(".js-plotly-plot .parcoords").wait_for(timeout=90_000)
    # letters of an SVG: they have no inner text
    names = window.page.locator(".js-plotly-plot .axis-title").all_text_contents()
    # a value that all cells were tuned to is no difference, so the page leaves it out
    swept = {
        key for key in compared[0].values if len({trial.values[key] for trial in compared}) > 1
    }
    assert "method.loss" in swept
    assert swept | {"cell"} <= set(names)
    assert names[-1] in compared[0].final
    text = window.page.locator("body").inner_text()
    assert f"Comparing {len(compared)} Runs" in text
    for trial in compared:
        assert trial.mlflow_run_id in text
        assert f"{trial.cell} seed={trial.seed}" in text
    drawn = window.page.locator(".js-plotly-plot canvas.gl-canvas")
    assert drawn.count() >= 1
    # what was drawn is lines, not an empty canvas
    colors = drawn.first.evaluate(
        """canvas => {
            const copy = document.createElement("canvas");
            [copy.width, copy.height] = [canvas.width, canvas.height];
            const context = copy.getContext("2d");
            context.drawImage(canvas, 0, 0);
            const seen = new Set();
            for (const value of context.getImageData(0, 0, copy.width, copy.height).data)
                seen.add(value);
            return seen.size;
        }"""
    )
    assert colors > 3
