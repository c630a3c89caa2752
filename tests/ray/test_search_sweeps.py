"""Real searches to their various ends, and what Optuna's file says of them."""

import csv
import signal

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from raymoco.config import load_run_config
from raymoco.study.journal.ledger import load_ledger
from raymoco.study.proposals.warm_start import SOURCE
from tests.live_sweeps import begin, wait_until
from tests.small import small_sweep

PROBE_ONCE = {"eval__linear__epochs": 1}
SEVERAL = """\
kind: search
tracking: {uri: none}
search:
  method.temperature: {loguniform: [0.05, 0.5]}
  method.loss: {choice: [unicon, info_nce]}
  method.positives: {choice: [sum, mean], when: {method.loss: unicon}}
  model.width: {choice: [4, 8]}
objective: [{metric: eval/knn_top1}, {metric: perf/images_per_second}]
enqueue: [{method.loss: info_nce}, {model.width: 8}]
sampler: {name: gp, startup_trials: 3}
budget: {trials: 6, concurrent: 1}
"""
LONG = """\
kind: search
tracking: {uri: none}
search:
  method.temperature: {loguniform: [0.05, 0.5]}
  optim.lr: {loguniform: [0.001, 0.5]}
scheduler: {name: median, grace_epochs: 1, min_trials: 2}
sampler: {name: cmaes, startup_trials: 2, options: {popsize: 4}}
budget: {trials: 400, concurrent: 2}
repeats: 3
"""
WARM = """\
kind: search
tracking: {uri: none}
search:
  method.temperature: {loguniform: [0.05, 0.5]}
  optim.lr: {loguniform: [0.001, 0.5]}
warm_start: long
budget: {trials: 50, concurrent: 1, target: 0.3}
"""


def optuna_trials(folder):
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
    return optuna.load_study(study_name=folder.name, storage=storage).trials


def rows_of(folder):
    with (folder / "trials.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_several_objectives_leave_a_pareto_front(raymoco, tmp_path):
    file = small_sweep(tmp_path / "several.yaml", SEVERAL, epochs=2, **PROBE_ONCE)
    done = raymoco("sweep", str(file))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "several"
    rows = rows_of(folder)
    assert [row["method.loss"] for row in rows][1] == "info_nce"
    assert rows[2]["model.width"] == "8"
    assert all((row["method.positives"] == "") == (row["method.loss"] != "unicon") for row in rows)
    scores = [(float(r["eval/knn_top1"]), float(r["perf/images_per_second"])) for r in rows]
    for row, (knn, speed) in zip(rows, scores, strict=True):
        beaten = any(a >= knn and b >= speed and (a, b) != (knn, speed) for a, b in scores)
        assert row["pareto"] == str(int(not beaten))
    assert "Pareto front of eval/knn_top1, perf/images_per_second" in done.stdout
    trials = optuna_trials(folder)
    assert [trial.values for trial in trials] == [list(score) for score in scores]
    best = rows[scores.index(max(scores))]
    assert load_run_config(str(folder / "best.yaml")).model.width == int(best["model.width"])


def eight_are_over_and_two_run(ledger):
    over, running = ledger.in_state("completed", "pruned"), ledger.in_state("running")
    return len(over) >= 8 and len(running) == 2


@pytest.fixture(scope="module")
def long(head, tmp_path_factory):
    """A search of 400 proposals that somebody ended with Ctrl-C after eight trainings."""
    output = tmp_path_factory.mktemp("long")
    file = small_sweep(output / "long.yaml", LONG, epochs=3, **PROBE_ONCE)
    process = begin(head, file)
    folder, journal = output / "long", output / "long" / "journal.jsonl"
    wait_until(lambda: eight_are_over_and_two_run(load_ledger(journal)), process=process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    return folder, file


def agree(folder):
    """Optuna's states are those of the journal's proposals, and nothing runs."""
    told = {"completed": "COMPLETE", "pruned": "PRUNED", "stopped": "FAIL", "failed": "FAIL"}
    records = load_ledger(folder / "journal.jsonl").search_trials
    trials = optuna_trials(folder)
    assert [trial.state.name for trial in trials] == [told[r.state] for r in records]
    for trial, record in zip(trials, records, strict=True):
        if record.state in ("completed", "pruned"):
            curve = {epoch: row["eval/knn_top1"] for epoch, row in record.rows.items()}
            assert trial.intermediate_values == pytest.approx(curve)
    return [record.state for record in records]


def seeds_of(folder):
    """The seeds of each proposal; a training and its proposal are over together."""
    ledger = load_ledger(folder / "journal.jsonl")
    for proposal, trainings in ledger.trainings.items():
        assert [t.trial_id for t in trainings] == [
            f"{proposal}-r{n}" for n in range(len(trainings))
        ]
        assert all(training.completed for training in trainings[:-1])
    return [[training.seed for training in some] for some in ledger.trainings.values()]


def test_optuna_knows_every_end_after_ctrl_c_and_when_the_hours_are_over(long, raymoco):
    folder, file = long
    interrupted = agree(folder)
    assert {"completed", "stopped"} <= set(interrupted)

    hours = raymoco("sweep", str(file), "--resume", "budget.hours=0.007")
    assert hours.returncode == 0, hours.stderr
    states = agree(folder)
    assert len(interrupted) < len(states) < 400
    assert "pruned" in states
    assert max(seeds_of(folder), key=len) == [0, 1, 2]
    assert "repeats: " in hours.stdout
    assert "the budget of 0.007 hours is used up" in (folder / "trials.csv").read_text()


def test_a_warm_started_search_ends_when_its_target_is_reached(long, raymoco):
    folder, file = long
    proposals = load_ledger(folder / "journal.jsonl").search_trials
    finished = [trial for trial in proposals if trial.state in ("completed", "pruned")]
    warm = small_sweep(file.with_name("warm.yaml"), WARM, epochs=2, **PROBE_ONCE)
    done = raymoco("sweep", str(warm))
    assert done.returncode == 0, done.stderr
    rows = rows_of(folder.with_name("warm"))
    assert len(rows) < 50
    (winner, *_) = [row for row in rows if row["state"] == "completed"]
    assert float(winner["eval/knn_top1"]) >= 0.3
    assert {row["reason"] for row in rows} <= {"", "the target 0.3 is reached"}
    trials = optuna_trials(folder.with_name("warm"))
    learned = [trial.user_attrs[SOURCE] for trial in trials if SOURCE in trial.user_attrs]
    assert learned == [f"long {trial.trial_id}" for trial in finished]
