"""An ablation with looks: it stops at the look that decides, or trains on to the next."""

import csv
import json

import pytest

from raymoco.study.journal.find import find
from raymoco.study.terminal.status import read_status
from tests.small import small_sweep

SWEEP = """\
kind: ablation
factors: {T: {low: {method.temperature: 0.1}, high: {method.temperature: 0.2}}}
looks: {seeds: [2, 3], spending: bonferroni}
budget: {concurrent: 1}
tracking: {uri: none}
"""


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("margin", "seeds"),
    # within 1 any two accuracies are alike, within 1e-6 hardly any
    [(1.0, 2), (1e-6, 3)],
)
def test_it_ends_at_the_look_that_decides_every_row(raymoco, tmp_path, margin, seeds):
    file = small_sweep(tmp_path / "looked.yaml", f"{SWEEP}margin: {margin}\n", epochs=1)
    folder = tmp_path / "looked"
    done = raymoco("sweep", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rows_of(folder / "trials.csv")) == 2 * seeds
    (row,) = rows_of(folder / "comparisons.csv")
    assert row["n"] == str(seeds)
    (begun,) = [
        event
        for event in map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
        if event["event"] == "begun"
    ]
    assert begun["tags"]["raymoco.margin"] == repr(margin)
    assert begun["tags"]["raymoco.looks"] == "2, 3 (bonferroni)"
    status = read_status(find(str(folder)))
    assert (status.state, status.trials, status.counts["completed"]) == (
        "completed",
        2 * seeds,
        2 * seeds,
    )
    if seeds == 2:
        assert row["verdict"] == "negligible"
        assert "stopped there, 3 seeds were the most" in done.stdout
    else:
        assert "look     2 of 2 is at 3 seeds, 3 at most; at 2 seeds 0 of 1 rows" in done.stdout
    assert (folder / ".closed").exists()
    before = (folder / "journal.jsonl").read_bytes()
    again = raymoco("sweep", str(file), "--resume")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (folder / "journal.jsonl").read_bytes() == before, "there was nothing to do"
