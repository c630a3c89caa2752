"""A sweep that is judged by somebody's protocol and told to somebody's tracker."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

from raymoco.study.journal.ledger import load_ledger
from raymoco.study.sweepfile.load import load_sweep
from raymoco.tracking import place_of
from tests.small import small_sweep
from tests.unit.tracking.test_trackers import read_json_lines

UNIT = Path(__file__).parents[1] / "unit"
SWEEP = """\
kind: ablation
question: does the temperature change how long features are?
factors: {T: {low: {method.temperature: 0.1}, high: {method.temperature: 0.5}}}
seeds: [0, 1]
metric: test/norm
budget: {concurrent: 1}
"""


def test_its_metric_judges_an_ablation_and_arrives_everywhere(head, raymoco, tmp_path):
    lab, log = tmp_path / "lab", tmp_path / "log.jsonl"
    lab.mkdir()
    shutil.copy(UNIT / "engine" / "somebodys_protocols.py", lab / "mylab_protocols.py")
    shutil.copy(UNIT / "tracking" / "json_lines.py", lab / "mylab_tracker.py")
    uri = f"mylab_tracker:JsonLines?{log}"
    judged = ["knn", "mylab_protocols:Norm"]
    file = small_sweep(tmp_path / "judged.yaml", SWEEP, epochs=1, eval__protocols=judged)
    folder = tmp_path / "judged"

    refused = raymoco("sweep", str(file), f"tracking.uri={uri}")
    assert refused.returncode == 2
    assert "there is no module 'mylab_" in refused.stderr
    assert not folder.exists()

    done = subprocess.run(
        [sys.executable, "-m", "raymoco", "sweep", str(file), f"tracking.uri={uri}"],
        cwd=lab,  # the workers find there what the driver finds
        env={**head.environment, "RAY_ADDRESS": head.address},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "less is better" in done.stdout
    assert load_sweep(folder / "sweep.yaml").spec.objective.mode == "min"
    with (folder / "trials.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    scores = {row["trial_id"]: float(row["test/norm"]) for row in rows}
    assert len(scores) == 4
    assert not any("linear" in column for column in rows[0])

    identity = load_ledger(folder / "journal.jsonl").identity
    held = read_json_lines(place_of(folder, uri, None), identity)
    assert set(held) == {"", *scores}
    for trial, score in scores.items():
        assert held[trial].curve("test/norm") == [(1, score)]
        assert held[trial].tags["raymoco.state"] == "completed"
    assert "report.html" in held[""].artifacts

    # where their code is not: the file itself says which way is better
    told = raymoco("report", str(folder))
    assert told.returncode == 0, told.stderr
    assert "norm on test" in (folder / "report.html").read_text(encoding="utf-8")
    assert raymoco("status", str(folder)).returncode == 0
