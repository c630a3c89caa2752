"""What a search's confirmation compares, and what is said of it."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from raymoco.errors import ConfigError
from raymoco.study.proposals.remaining import open_confirmations
from raymoco.study.report import report
from raymoco.study.report.findings import read_findings
from raymoco.study.statistics.confirmation import confirmed_cells
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.terminal.tables import confirmation_table
from tests.written_sweeps import SEARCH, write_search

AGAINST = SEARCH.replace(
    "102]}",
    "102], against: {moco: {method.loss: info_nce}, few: {data.labelled_fraction: 0.1}}}",
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return read_findings(write_search(tmp_path_factory.mktemp("sweep") / "found", AGAINST))


def scores(found, cell):
    return {t.seed: t.score("test/knn_top1") for t in found.ledger.all() if t.cell == cell}


def test_the_best_and_the_default_are_compared_with_every_baseline(found):
    best, other = confirmed_cells(found.sweep, found.ledger)[0]
    first = next(t.trial_id for t in found.best if t.trial_id in ("t000", "t001"))
    assert best == first
    assert [row.name for row in found.confirmation] == [
        f"{best} against default",
        f"{other} against default",
        f"{best} against moco",
        f"{best} against few",
        "default against moco",
        "default against few",
    ]
    row = found.confirmation[2]
    moco = scores(found, "moco")
    differences = [score - moco[seed] for seed, score in scores(found, best).items()]
    assert row.difference.difference == pytest.approx(sum(differences) / 3)
    smallest = min(row.difference.p for row in found.confirmation)
    assert min(row.p_holm for row in found.confirmation) == pytest.approx(min(1, 6 * smallest))


def test_a_baseline_is_trained_with_the_same_seeds_as_the_best(tmp_path):
    folder = write_search(tmp_path / "found", SEARCH)
    (folder / "sweep.yaml").write_text(AGAINST)
    found = read_findings(folder)
    waiting = open_confirmations(found.sweep, found.search, folder, found.ledger)
    for name, values in found.search.confirm.against.items():
        trained = [p for p in waiting if p.cell == name]
        assert [p.seed for p in trained] == [100, 101, 102]
        assert all(p.values == values for p in trained)
    assert found.search.confirmations == 3 * (2 + 1 + 2)


def test_the_table_says_in_80_columns_what_each_is_worth(found):
    console = Console(file=io.StringIO(), width=80)
    console.print(confirmation_table(found.sweep, found.ledger, found.confirmation))
    text = console.file.getvalue()
    best = confirmed_cells(found.sweep, found.ledger)[0][0]
    assert "Trained again with 3 fresh seeds, judged on 360 test images" in text
    assert f"{best}, the best" in text
    assert "loss=info_nce" in text
    moco = next(row for row in found.confirmation if row.name == "default against moco")
    assert f"{-moco.difference.difference:+.3f} ±{moco.difference.reach:.3f}" in text
    assert "…" not in text


def test_the_report_and_its_csv_have_every_comparison(found):
    page = report(found.folder).html.read_text()
    assert "default against moco on fresh seeds" in page
    assert "The best of the search, the default and moco and few, trained again" in page
    with (found.folder / "comparisons.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["cell"], row["baseline"]) for row in rows][-2:] == [
        ("default", "moco"),
        ("default", "few"),
    ]
    row = found.confirmation[-1]
    assert float(rows[-1]["difference"]) == row.difference.difference
    assert rows[-1]["verdict"] == row.verdict


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ("{default: {method.loss: info_nce}}", "'default' is what a trial is called"),
        ("{t003: {method.loss: info_nce}}", "'t003' is what a trial is called"),
        ("{moco: {}}", "confirm.against.moco"),
        ("{moco: {method.los: info_nce}}", "'method.los' is not an axis"),
        ("{moco: {seed: 3}}", "'seed' is not an axis"),
        ("{moco: {method.loss: info_nc}}", "info_nc"),
        ("{same: {model.width: 16}}", "'confirm=default' and 'confirm=same' coincide"),
        (
            "{a: {method.loss: info_nce}, b: {method.loss: info_nce, data.label_seed: 4}}",
            "'confirm=a' and 'confirm=b' coincide",
        ),
        (
            "{ce: {method.loss: cross_entropy, method.cross_consistency.weight: 1}}",
            "cross_entropy, which has no keys",
        ),
    ],
)
def test_a_baseline_that_cannot_be_or_says_nothing_is_refused(tmp_path, against, said):
    file = tmp_path / "sweep.yaml"
    file.write_text(SEARCH.replace("102]}", f"102], against: {against}}}"))
    with pytest.raises(ConfigError) as error:
        load_sweep(file)
    assert said in str(error.value)
    assert "sweep.yaml" in str(error.value)
