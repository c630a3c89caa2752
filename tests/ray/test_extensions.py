"""Code that lies outside the package runs in a sweep, in workers that have never heard of it."""

import subprocess
import sys

from raymoco.study.journal.ledger import load_ledger
from tests.extending_page import write_page
from tests.small import small_sweep
from tests.unit.data.third_party import write_arrays, write_package

SWEEP = """\
kind: ablation
factors:
  loss:
    ours:   {method.loss: unicon}
    theirs: {method.loss: {name: "mylab.losses:Triplet", margin: 0.4}}
  spread:
    "off": {method.terms.spread.weight: 0}
    "on":  {method.terms.spread.weight: 0.5, method.terms.spread.margin: 0.1}
design: one_at_a_time
seeds: [0]
budget: {concurrent: 1}
"""


def test_a_loss_a_term_a_backbone_a_source_and_views_of_somebody_elses_run_in_a_sweep(
    head, tmp_path
):
    lab = tmp_path / "lab"
    write_package(lab)
    write_page(lab)
    arrays = write_arrays(tmp_path / "arrays")
    spread = {"use": "mylab.terms:Spread", "weight": 0}
    file = small_sweep(
        tmp_path / "theirs.yaml",
        SWEEP,
        epochs=2,
        model__backbone={"name": "mylab.nets:tiny_vit", "depth": 1},
        method__terms={"spread": {**spread, "margin": 0.3}},
        data__source={"name": "mylab.sources:Arrays", "path": str(arrays)},
        data__views={"name": "mylab.views:Noise", "strength": 0.2},
        data__limit=None,
    )
    done = subprocess.run(
        [sys.executable, "-m", "raymoco", "sweep", str(file)],
        cwd=lab,
        env={**head.environment, "RAY_ADDRESS": head.address},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    trials = {trial.cell: trial for trial in load_ledger(tmp_path / "theirs/journal.jsonl").all()}
    assert {trial.state for trial in trials.values()} == {"completed"}
    rows = {cell: trial.rows[2] for cell, trial in trials.items()}
    assert len(rows) == 3
    spreads = {cell: "train/spread" in row for cell, row in rows.items()}
    assert spreads == {cell: cell.endswith("spread=on") for cell in rows}
    contrasts = [row["train/contrast"] for row in rows.values()]
    assert len(set(contrasts)) == 3  # each cell was trained by something else
    assert (tmp_path / "theirs" / "report.html").exists()
