import csv
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from raymoco.choices import LOSSES
from raymoco.errors import ConfigError
from raymoco.ssl import info_nce, sup_con, unified_contrastive
from raymoco.study.journal.events import SWEEP_EVENTS
from raymoco.study.journal.ledger import Ledger
from raymoco.study.statistics.comparisons import Comparisons
from raymoco.study.statistics.paired import cell_mean, holm
from raymoco.study.sweepfile.cells import expand_cells, name_levels
from raymoco.study.sweepfile.load import load_sweep

FACTORS = {
    "cross": {"off": {"c": 0}, "on": {"c": 1}},
    "uniform": {"off": {"u": 0}, "low": {"u": 0.1}, "high": {"u": 1}},
}


def names(design, baseline=None):
    return [cell.name for cell in expand_cells(FACTORS, design, baseline or {})]


def test_a_full_design_has_every_combination_the_baseline_first():
    cells = names("full", {"cross": "on", "uniform": "low"})
    assert cells[0] == "cross=on uniform=low"
    assert len(cells) == len(set(cells)) == 6


def test_one_at_a_time_moves_one_factor_from_the_baseline():
    assert names("one_at_a_time") == [
        "cross=off uniform=off",
        "cross=on uniform=off",
        "cross=off uniform=low",
        "cross=off uniform=high",
    ]


def test_leave_one_out_takes_one_factor_back_from_everything():
    assert names("leave_one_out") == [
        "cross=off uniform=off",
        "cross=on uniform=high",
        "cross=off uniform=high",
        "cross=on uniform=off",
    ]


@pytest.mark.parametrize("factors", [FACTORS, {"cross": FACTORS["cross"]}])
def test_leave_one_out_refuses_a_factor_that_it_would_never_vary(factors):
    with pytest.raises(ConfigError, match=r"baseline\.cross is 'on', the last of its levels"):
        expand_cells(factors, "leave_one_out", {"cross": "on"})
    assert expand_cells(factors, "one_at_a_time", {"cross": "on"})


@pytest.mark.parametrize(
    ("factors", "baseline", "words"),
    [
        (FACTORS, {"crass": "on"}, "baseline names 'crass'"),
        (FACTORS, {"cross": "maybe"}, r"baseline\.cross is 'maybe'"),
        ({"a": {"x": {"c": 0}, "y": {"c": 0}}}, {}, "coincide"),
        ({"a": {"x": {"c": 0}, "y": {"c": 1}}, "b": {"x": {"c": 2}, "y": {}}}, {}, "both set c"),
        ({"a": {"1 %": {"c": 0}, "1": {"c": 1}}}, {}, "rename a level"),
    ],
)
def test_a_design_that_says_nothing_is_refused(factors, baseline, words):
    with pytest.raises(ConfigError, match=words):
        expand_cells(factors, "full", baseline)


def test_on_and_off_are_words_and_an_impossible_cell_is_named(tmp_path):
    path = tmp_path / "a.yaml"
    text = "kind: ablation\nname: a\nrun: {preset: digits}\nfactors:\n  w:\n"
    for level, weight in (("off", 0), ("on", 1)):
        text += f"    {level}: {{method.cross_consistency.weight: {weight}}}\n"
    path.write_text(text)
    assert [cell.name for cell in load_sweep(path).spec.cells] == ["w=off", "w=on"]
    with pytest.raises(ConfigError, match="the cell 'w=on' is impossible"):
        load_sweep(path, ["run.method.loss=cross_entropy"])


def test_a_budget_of_trials_is_for_searches(tmp_path):
    path = level_file(tmp_path, "K", LEVELS["K"], "budget: {trials: 4}\n")
    with pytest.raises(ConfigError, match=r"budget.*trials is for searches"):
        load_sweep(path)
    assert load_sweep(level_file(tmp_path, "K", LEVELS["K"]), ["budget.hours=1"]).spec.budget.hours


LEVELS = {
    "K": "{64: {method.queue_size: 64}, 128: {method.queue_size: 128}}",
    "T": "{0.10: {method.temperature: 0.1}, 0.20: {method.temperature: 0.2}}",
    "w": "{null: {method.key_momentum: 0.9}, true: {method.key_momentum: 0.99}}",
    "lr": "{1e-2: {optim.lr: 0.01}, a: {optim.lr: 0.02}}",
}


def level_file(tmp_path, factor, levels, baseline=""):
    path = tmp_path / "a.yaml"
    head = "kind: ablation\nname: a\nrun: {preset: digits}\n"
    path.write_text(f"{head}factors: {{{factor}: {levels}}}\n{baseline}")
    return path


@pytest.mark.parametrize(
    ("factor", "words"),
    [("K", ["64", "128"]), ("T", ["0.10", "0.20"]), ("w", ["null", "true"]), ("lr", ["1e-2", "a"])],
)
def test_a_level_is_the_word_that_stands_there_in_a_baseline_too(tmp_path, factor, words):
    names = [f"{factor}={word}" for word in words]
    path = level_file(tmp_path, factor, LEVELS[factor])
    assert [cell.name for cell in load_sweep(path).spec.cells] == names
    for word, name in zip(words, names, strict=True):
        for overrides in ([f"baseline.{factor}={word}"], [f"baseline={{{factor}: {word}}}"]):
            assert load_sweep(path, overrides).spec.cells[0].name == name
        for written in (word, f'"{word}"'):
            baseline = f"baseline: {{{factor}: {written}}}\n"
            again = level_file(tmp_path, factor, LEVELS[factor], baseline)
            spec = load_sweep(again).spec
            assert spec.cells[0].name == name
            again.write_text(spec.to_yaml())
            assert load_sweep(again).spec == spec


@pytest.mark.parametrize(
    ("levels", "baseline", "words"),
    [
        (LEVELS["K"], "256", "baseline.f is '256', but its levels are 64, 128"),
        (LEVELS["w"], "1", "baseline.f is '1', but its levels are null, true"),
        ("{0.1: {optim.lr: 0.1}, 0.10: {optim.lr: 0.2}}", "0.1", "baseline.f is 0.1, but must be"),
    ],
)
def test_a_baseline_that_names_no_level_or_two_is_refused(tmp_path, levels, baseline, words):
    path = level_file(tmp_path, "f", levels, f"baseline: {{f: {baseline}}}\n")
    with pytest.raises(ConfigError, match=words):
        load_sweep(path)


@pytest.mark.parametrize("name", ["a: b: c", "2001-99-99", "[", "\x07", ""])
def test_a_level_that_is_no_yaml_is_no_number_either(name):
    assert name_levels({"f": 64, "g": 64}, {"f": {name: {}, "64": {}}}) == {"f": "64", "g": "64"}


@pytest.mark.parametrize(
    ("levels", "run", "words"),
    [
        (
            {"a": "{method.batch_norm: plain}", "b": "{method.batch_norm: sync}"},
            "",
            "at one worker",
        ),
        ({"a": "{}", "b": "{method.loss: unicon}"}, "", "they train the same"),
        (
            {
                "a": "{method.cross_consistency.form: queue_kl}",
                "b": "{method.cross_consistency.form: batch_kl}",
            },
            "",
            "they train the same",
        ),
        (
            {"a": "{data.labelled_fraction: 0.1}", "b": "{data.labelled_fraction: 0.5}"},
            "run.method.loss=info_nce",
            "they train the same",
        ),
        (
            {"a": "{method.loss: info_nce}", "b": "{method.loss: unicon}"},
            "run.data.labelled_fraction=0",
            "where no label is visible they train the same",
        ),
        (
            {"a": "{method.loss: sup_con_in}", "b": "{method.loss: sup_con_out}"},
            "run.data.labelled_fraction=0",
            "they train the same",
        ),
        (
            {
                "a": "{method.loss: unicon, data.labelled_fraction: 0}",
                "b": "{method.loss: info_nce, data.labelled_fraction: 0.3}",
            },
            "",
            "they train the same",
        ),
        (
            {"a": "{method.positives: sum}", "b": "{method.positives: mean}"},
            "run.data.labelled_fraction=0",
            "they train the same",
        ),
        (
            {"a": "{data.label_seed: 1}", "b": "{data.label_seed: 2}"},
            "run.data.labelled_fraction=0",
            "they train the same",
        ),
        (
            {"a": "{data.label_seed: 1}", "b": "{data.label_seed: 2}"},
            "run.data.labelled_fraction=1.0",
            "where every label is visible they train the same",
        ),
        (
            {"a": "{method.temperature: 0.1}", "b": "{method.queue_size: 64}"},
            "run.method.loss=cross_entropy",
            "neither keys nor a queue: they train the same",
        ),
    ],
)
def test_cells_that_train_the_same_are_refused(tmp_path, levels, run, words):
    path = tmp_path / "a.yaml"
    lines = "".join(f"    {name}: {values}\n" for name, values in levels.items())
    head = "kind: ablation\nname: a\nrun: {preset: digits}\n"
    path.write_text(f"{head}factors:\n  f:\n{lines}")
    with pytest.raises(ConfigError, match=f"coincide: .*{words}"):
        load_sweep(path, [run] if run else [])


def test_what_two_workers_tell_apart_is_not_refused(tmp_path):
    path = tmp_path / "a.yaml"
    text = "kind: ablation\nname: a\nrun: {preset: digits}\ngang: {workers: 2}\nfactors:\n  f:\n"
    path.write_text(text + "    a: {method.batch_norm: plain}\n    b: {method.batch_norm: sync}\n")
    assert len(load_sweep(path).spec.cells) == 2


@pytest.mark.parametrize(
    "levels",
    [
        ["{method.loss: info_nce}", "{method.loss: unicon}"],
        ["{method.loss: sup_con_in}", "{method.loss: sup_con_out}"],
        ["{method.positives: sum}", "{method.positives: mean}"],
        ["{data.label_seed: 1}", "{data.label_seed: 2}"],
        ["{data.labelled_fraction: 0}", "{data.labelled_fraction: 1}"],
    ],
)
def test_what_some_visible_labels_tell_apart_is_not_refused(tmp_path, levels):
    path = tmp_path / "a.yaml"
    run = "{preset: digits, data: {labelled_fraction: 0.5}}"
    text = f"kind: ablation\nname: a\nrun: {run}\nfactors:\n  f:\n"
    path.write_text(
        text + "".join(f"    {n}: {level}\n" for n, level in zip("ab", levels, strict=True))
    )
    assert len(load_sweep(path).spec.cells) == 2


@pytest.mark.parametrize("loss", [n for n, one in LOSSES.choices.items() if one.without_labels])
def test_without_a_visible_label_a_loss_that_uses_labels_is_info_nce(loss):
    draw = torch.Generator().manual_seed(0)
    query, key, queue = (
        torch.nn.functional.normalize(torch.randn(n, 16, generator=draw), dim=1)
        for n in (8, 8, 64)
    )  # fmt: skip
    hidden = torch.full((8,), -1), torch.full((64,), -1)
    if loss == "unicon":
        found = unified_contrastive(query, key, queue, *hidden, temperature=0.2)
    else:
        form = loss.removeprefix("sup_con_")
        found = sup_con(query, key, queue, *hidden, temperature=0.2, form=form)
    assert torch.allclose(found, info_nce(query, key, queue, temperature=0.2), rtol=1e-6)


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_monotone_bounded_and_keeps_the_order_given(p):
    adjusted = holm(p)
    assert all(raw <= found <= 1 for raw, found in zip(p, adjusted, strict=True))
    ranks = sorted(range(len(p)), key=lambda i: p[i])
    assert [adjusted[i] for i in ranks] == sorted(adjusted)
    assert adjusted[ranks[0]] == pytest.approx(min(1, len(p) * p[ranks[0]]))


def test_holm_of_a_worked_example():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(values=st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_a_cells_interval_is_scipys(values):
    assume(max(values) - min(values) > 1e-6)
    found = cell_mean(values)
    error = stats.sem(values)
    expected = stats.t.interval(0.95, len(values) - 1, loc=sum(values) / len(values), scale=error)
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def ledger_of(scores):
    ledger = Ledger()
    for cell, by_seed in scores.items():
        for seed, value in by_seed.items():
            trial_id = f"{cell}-{seed}"
            events = [
                {"event": "proposed", "values": {}, "cell": cell, "seed": seed},
                {"event": "report", "row": {"epoch": 1, "m": value}, "checkpoint": None},
                {"event": "ended", "state": "completed", "reason": "", "time": 0.0},
            ]
            for event in events:
                ledger.apply(SWEEP_EVENTS.load({"time": 0.0, **event, "trial_id": trial_id}))
    return ledger


def test_comparisons_are_paired_adjusted_and_written_unrounded(tmp_path):
    cells = expand_cells(FACTORS, "one_at_a_time", {})
    base = {0: 0.50, 1: 0.52, 2: 0.51, 3: 0.49}
    scores = {
        cells[0].name: base,
        cells[1].name: {s: v + 0.1 + 0.001 * s for s, v in base.items()},
        cells[2].name: {s: v + 0.01 * (-1) ** s for s, v in base.items()},
        cells[3].name: base,
    }
    found = Comparisons(cells, ledger_of(scores), "m", higher=True)
    verdicts = [found.rows[cell.name].verdict for cell in cells[1:]]
    assert verdicts == ["helps", "not resolved", "identical"]
    lower = Comparisons(cells, ledger_of(scores), "m", higher=False)
    assert lower.rows[cells[1].name].verdict == "hurts"
    found.write(tmp_path)
    with (tmp_path / "comparisons.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    expected = stats.ttest_rel(list(scores[cells[1].name].values()), list(base.values()))
    assert float(rows[0]["p"]) == pytest.approx(expected.pvalue)
    assert float(rows[0]["p_holm"]) == pytest.approx(3 * expected.pvalue)
    assert math.isclose(float(rows[0]["difference"]), 0.1015)
    with (tmp_path / "cells.csv").open() as stream:
        assert [row["n"] for row in csv.DictReader(stream)] == ["4"] * 4


def test_a_cell_without_seeds_is_counted_and_not_invented(tmp_path):
    cells = expand_cells(FACTORS, "one_at_a_time", {})
    found = Comparisons(cells, ledger_of({cells[0].name: {0: 0.5}}), "m", higher=True)
    found.write(tmp_path)
    assert "fewer than two seeds" in found.sentence(cells[1].name)
    assert found.rows[cells[1].name].verdict == "not resolved"
