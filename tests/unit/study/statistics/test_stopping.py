"""An ablation with looks: what its journal says it still trains, and what is told of it."""

import csv
import json

import pytest

from raymoco import report
from raymoco.event_log import begun
from raymoco.study.journal.events import Ended, Proposed, Reported, TrialState
from raymoco.study.journal.find import find
from raymoco.study.journal.ledger import Ledger, load_ledger
from raymoco.study.proposals.remaining import open_cells, open_trials
from raymoco.study.report.findings import read_findings
from raymoco.study.statistics.comparisons import compare_cells
from raymoco.study.statistics.plan import plan_tags
from raymoco.study.statistics.stopping import look_words, planned_trials, seeds_to_train
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.terminal.status import read_status

FILE = """\
kind: ablation
name: s
run: {preset: digits, epochs: 2}
factors: {loss: {unicon: {method.loss: unicon}, info_nce: {method.loss: info_nce}}}
looks: [4, 6, 8]
metric: test/knn_top1
"""
KNN = "test/knn_top1"


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "sweep.yaml").write_text(FILE)
    return load_sweep(tmp_path / "sweep.yaml")


def run_one(ledger, cell, seed, score, state="completed"):
    trial_id = f"{cell.slug}-s{seed}"
    row = {"epoch": 1, KNN: score}
    ledger.apply(Proposed(trial_id=trial_id, values=cell.values, seed=seed, cell=cell.name))
    ledger.apply(Reported(trial_id=trial_id, row=row, checkpoint=None))
    ledger.apply(Ended(trial_id=trial_id, state=TrialState(state), reason=""))


def train(sweep, ledger, seeds, gain):
    """Every cell with so many seeds: the second is better by `gain`, and wavers a little."""
    for seed in seeds:
        for number, cell in enumerate(sweep.spec.cells):
            waver = 0.001 * ((seed * 7 + number * 3) % 5)
            run_one(ledger, cell, seed, 0.8 + gain * number + waver)


def test_it_trains_up_to_the_first_look_then_on_to_the_next(sweep, tmp_path):
    ledger = Ledger()
    assert seeds_to_train(sweep, ledger) == 4
    assert len(open_cells(sweep.spec, tmp_path, ledger, 4)) == 2 * 4
    assert (planned_trials(sweep, ledger), sweep.spec.planned_trials) == (2 * 4, 2 * 8)
    assert look_words(sweep, ledger) == "1 of 3 is at 4 seeds, 8 at most"
    train(sweep, ledger, range(4), gain=0.0)
    assert seeds_to_train(sweep, ledger) == 6
    assert look_words(sweep, ledger) == (
        "2 of 3 is at 6 seeds, 8 at most; at 4 seeds 0 of 1 rows decided at level 0.0056"
    )
    train(sweep, ledger, range(4, 8), gain=0.0)
    assert seeds_to_train(sweep, ledger) == 8
    assert look_words(sweep, ledger).endswith("it was the last")


def test_it_stops_at_the_look_that_decides_and_a_resume_has_nothing_to_do(sweep, tmp_path):
    ledger = Ledger()
    train(sweep, ledger, range(4), gain=0.1)
    found = compare_cells(sweep, ledger)
    assert found.decided
    assert [look.taken for look in found.looks] == [True, False, False]
    assert seeds_to_train(sweep, ledger) == 4
    assert open_trials(sweep, tmp_path, ledger, seeds_to_train(sweep, ledger)) == []
    assert planned_trials(sweep, ledger) == 8
    assert "stopped there, 8 seeds were the most" in look_words(sweep, ledger)


def test_a_difference_that_five_percent_would_resolve_is_not_at_an_early_look(sweep):
    ledger = Ledger()
    train(sweep, ledger, range(4), gain=0.006)
    (row,) = compare_cells(sweep, ledger).rows.values()
    assert row.level == pytest.approx(0.005575, abs=1e-5)
    assert row.level < row.difference.p < 0.05
    assert row.verdict == "not resolved"
    assert row.seeds > 4


def test_between_two_looks_the_results_are_those_of_the_last(sweep):
    ledger = Ledger()
    train(sweep, ledger, range(4), gain=0.0)
    at_look = compare_cells(sweep, ledger)
    train(sweep, ledger, [4], gain=0.2)
    between = compare_cells(sweep, ledger)
    assert [r.row() for r in between.rows.values()] == [r.row() for r in at_look.rows.values()]
    assert between.means == at_look.means


def test_before_the_first_look_nothing_is_judged(sweep):
    ledger = Ledger()
    train(sweep, ledger, range(3), gain=0.1)
    (row,) = compare_cells(sweep, ledger).rows.values()
    assert (row.difference.n, row.verdict) == (3, "not resolved")


def test_a_stopped_trial_holds_its_look_open_and_a_failed_one_does_not(sweep):
    stopped, failed = Ledger(), Ledger()
    for ledger, state in ((stopped, "stopped"), (failed, "failed")):
        train(sweep, ledger, range(3), gain=0.1)
        for number, cell in enumerate(sweep.spec.cells):
            run_one(ledger, cell, 3, 0.8, "completed" if number else state)
    assert seeds_to_train(sweep, stopped) == 4
    # with a lost pair nothing is said to help: the sweep goes on
    assert seeds_to_train(sweep, failed) == 6
    assert compare_cells(sweep, failed).looks[0].open == ["loss=info_nce"]


def write(folder, ledger, sweep):
    """The journal of a ledger that `train` has filled."""
    events = [{**begun("an-id", plan_tags(sweep.spec)).to_dict(), "time": 1.0}]
    for trial in ledger.all():
        about = {"trial_id": trial.trial_id, "time": 1.0}
        events += [
            {"event": "proposed", "values": {}, "cell": trial.cell, "seed": trial.seed, **about},
            *({"event": "report", "row": row, "checkpoint": None, **about}
              for row in trial.rows.values()),
            {"event": "ended", "state": trial.state, "reason": "", **about},
        ]  # fmt: skip
    events.append({"event": "closed", "state": "completed", "time": 2.0})
    (folder / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))


def test_status_and_report_of_one_that_stopped_early_say_so(sweep, tmp_path):
    ledger = Ledger()
    train(sweep, ledger, range(4), gain=0.1)
    write(tmp_path, ledger, sweep)
    status = read_status(find(str(tmp_path)))
    assert (status.state, status.trials, status.counts["completed"]) == ("completed", 8, 8)
    text = "\n".join(status.lines())
    assert "trials   8 of 8 ended: 8 completed" in text
    assert "look     at 4 seeds 1 of 1 rows decided at level 0.0056; stopped there" in text
    page = report(tmp_path).html.read_text()
    assert "every row is decided, so the sweep ends before its 8 seeds" in page
    assert "<h2>Looks</h2>" in page
    assert "loss=info_nce: helps" in page
    assert page.count("not taken") == 2
    with (tmp_path / "comparisons.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["n"], row["verdict"], row["p_sign_flip"]) == ("4", "helps", "0.125")


def test_the_looks_of_a_journal_are_those_of_its_ledger(sweep, tmp_path):
    ledger = Ledger()
    train(sweep, ledger, range(6), gain=0.0)
    write(tmp_path, ledger, sweep)
    findings = read_findings(tmp_path)
    assert [look.taken for look in findings.comparisons.looks] == [True, True, False]
    assert seeds_to_train(sweep, load_ledger(tmp_path / "journal.jsonl")) == 8
