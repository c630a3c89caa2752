"""A real search whose sampler and scheduler live outside of the package."""

import csv
import shutil
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from raymoco.study.journal.ledger import load_ledger
from tests.small import small_sweep

THEIRS = Path(__file__).parents[1] / "fixtures" / "theirs" / "mylab_search.py"
EPOCHS = 8
OUTSIDE = """\
kind: search
tracking: {uri: none}
search:
  method.temperature: {loguniform: [0.05, 0.5]}
  optim.lr: {loguniform: [0.00001, 0.5]}
sampler: {name: "mylab_search:Evolution", options: {population_size: 3}}
scheduler: {name: "mylab_search:Patience", options: {epochs: 1}}
budget: {trials: 8, concurrent: 2}
"""


def test_a_sampler_and_a_scheduler_from_outside_run_a_search_that_is_resumed(raymoco, tmp_path):
    mylab = tmp_path / "mylab"
    mylab.mkdir()
    shutil.copy(THEIRS, mylab)
    file = small_sweep(tmp_path / "outside.yaml", OUTSIDE, epochs=EPOCHS, eval__linear__epochs=1)

    nowhere = raymoco("sweep", str(file))
    assert nowhere.returncode == 2
    assert f"{file}:" in nowhere.stderr
    assert "there is no module 'mylab_search'" in nowhere.stderr
    folder = tmp_path / "outside"
    assert not folder.exists(), "refused before anything starts"

    first = raymoco("sweep", str(file), "budget.trials=5", PYTHONPATH=str(mylab))
    assert first.returncode == 0, first.stderr
    before = [(t.trial_id, t.values, t.state) for t in load_ledger(folder / "journal.jsonl").all()]
    assert len(before) == 5

    done = raymoco("sweep", str(file), "--resume", PYTHONPATH=str(mylab))
    assert done.returncode == 0, done.stderr
    trials = load_ledger(folder / "journal.jsonl").all()
    assert [(t.trial_id, t.values, t.state) for t in trials[:5]] == before
    assert len(trials) == 8
    assert {t.state for t in trials} == {"completed", "pruned"}
    for trial in trials:
        scores = [row["eval/knn_top1"] for _, row in sorted(trial.rows.items())]
        better = [score > max(scores[:n]) for n, score in enumerate(scores) if n]
        # patience of one epoch; a gang that was ahead of Tune has completed its trial all the same
        if trial.state == "pruned":
            assert len(scores) < EPOCHS
            assert not all(better), scores
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
    study = optuna.load_study(study_name="outside", storage=storage)
    told = {"completed": "COMPLETE", "pruned": "PRUNED"}
    assert [t.state.name for t in study.trials] == [told[t.state] for t in trials]
    assert any("NSGAIISampler:generation" in trial.system_attrs for trial in study.trials)

    # who only looks at it has not their code
    shown = raymoco("status", str(folder))
    assert shown.returncode == 0, shown.stderr
    with (folder / "trials.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 8
