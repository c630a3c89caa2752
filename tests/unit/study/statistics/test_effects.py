"""Main effects and interactions: what a design allows, and what the numbers are."""

import csv
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from raymoco.study.journal.events import SWEEP_EVENTS
from raymoco.study.journal.ledger import Ledger
from raymoco.study.report.conclusions import answer
from raymoco.study.report.findings import read_findings
from raymoco.study.statistics.comparisons import Comparisons
from raymoco.study.statistics.confirmation import judge_confirmation
from raymoco.study.statistics.effects import cell_contrasts, interactions, main_effects
from raymoco.study.statistics.paired import ALPHA, seeds_needed
from raymoco.study.sweepfile.cells import expand_cells
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.sweepfile.sections import CONFIRMED
from tests.written_sweeps import ABLATION, SEARCH, write_ablation

TWO = {
    "a": {"off": {"x": 0}, "on": {"x": 1}},
    "b": {"off": {"y": 0}, "on": {"y": 1}},
}
THREE = {**TWO, "c": {"small": {"z": 0}, "middle": {"z": 1}, "large": {"z": 2}}}


def add_trial(ledger, cell, seed, value, state="completed", phase="", metric="m"):
    trial_id = f"{phase}{cell}-{seed}"
    events = [
        {"event": "proposed", "values": {}, "cell": cell, "seed": seed, "phase": phase},
        {"event": "report", "row": {"epoch": 1, metric: value}, "checkpoint": None},
        {"event": "ended", "state": state, "reason": "", "time": 0.0},
    ]
    for event in events:
        ledger.apply(SWEEP_EVENTS.load({"time": 0.0, **event, "trial_id": trial_id}))


def ledger_of(cells, score, seeds=(0, 1, 2, 3)):
    ledger = Ledger()
    for cell in cells:
        for seed in seeds:
            add_trial(ledger, cell.name, seed, score(cell.levels, seed))
    return ledger


def test_two_by_two_worked_by_hand():
    cells = expand_cells(TWO, "full", {})
    scores = {
        "a=off b=off": {0: 0.50, 1: 0.60},
        "a=on b=off": {0: 0.54, 1: 0.62},
        "a=off b=on": {0: 0.51, 1: 0.63},
        "a=on b=on": {0: 0.61, 1: 0.69},
    }
    effect_a, effect_b = main_effects(cells)
    (both,) = interactions(cells)
    assert (effect_a.name, both.name) == ("a=on", "a=on x b=on")
    assert effect_a.by_seed(scores) == pytest.approx({0: 0.07, 1: 0.04})
    assert effect_b.by_seed(scores) == pytest.approx({0: 0.04, 1: 0.05})
    # what a gives with b on, less what it gives with b off
    assert both.by_seed(scores) == pytest.approx({0: 0.06, 1: 0.04})


def test_a_design_gives_the_effects_that_it_can_and_no_others():
    def named(design):
        cells = expand_cells(THREE, design, {})
        return [c.name for c in main_effects(cells)], [c.name for c in interactions(cells)]

    main, crossed = named("full")
    assert main == ["a=on", "b=on", "c=middle", "c=large"]
    assert len(crossed) == 1 + 2 + 2
    assert named("one_at_a_time") == (main, [])
    # everything on has c large: middle was never run
    assert named("leave_one_out") == (["a=on", "b=on", "c=large"], [])


def test_leave_one_out_measures_each_ingredient_where_all_others_are_on():
    cells = expand_cells(THREE, "leave_one_out", {})
    weights = {contrast.name: contrast.weights for contrast in main_effects(cells)}
    assert weights["a=on"] == {"a=on b=on c=large": 1.0, "a=off b=on c=large": -1.0}


def test_leaving_out_one_of_two_is_no_average_although_all_four_cells_are_there():
    cells = expand_cells(TWO, "leave_one_out", {})
    weights = [contrast.weights for contrast in main_effects(cells, "leave_one_out")]
    assert weights == [
        {"a=on b=on": 1.0, "a=off b=on": -1.0},
        {"a=on b=on": 1.0, "a=on b=off": -1.0},
    ]
    # a helps only beside b: with everything else on it does so in full
    ledger = ledger_of(cells, lambda levels, seed: 0.5 + 0.1 * (set(levels.values()) == {"on"}))
    found = Comparisons(cells, ledger, "m", higher=True, design="leave_one_out")
    assert [effect.name for effect in found.effects] == ["a=on", "b=on", "a=on x b=on"]
    assert found.effects[0].difference.difference == pytest.approx(0.1)
    full = Comparisons(cells, ledger, "m", higher=True)
    assert full.effects[0].difference.difference == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("design", "others"),
    [
        ("full", "each factor averaged over the settings of the others"),
        ("one_at_a_time", "each factor with the others at the baseline"),
        ("leave_one_out", "each factor with all the others on"),
    ],
)
def test_a_report_says_where_the_other_factors_stood(tmp_path, design, others):
    text = ABLATION.replace("seeds:", f"design: {design}\nseeds:")
    findings = read_findings(write_ablation(tmp_path / "terms", text))
    by_name = {effect.name: effect for effect in findings.comparisons.effects}
    assert len(by_name["cross=on"].contrast.weights) == (4 if design == "full" else 2)
    (said,) = [line for line in answer(findings) if line.startswith("Differences are in")]
    assert others in said
    assert ("averaged" in said) == (design == "full")


@given(shift=st.floats(-5, 5), per_seed=st.lists(st.floats(-1, 1), min_size=3, max_size=3))
def test_weights_add_up_to_nothing_so_a_seeds_own_level_cancels(shift, per_seed):
    cells = expand_cells(THREE, "full", {})
    everyone = [*cell_contrasts(cells), *main_effects(cells), *interactions(cells)]
    scores = {
        cell.name: {seed: shift + value for seed, value in enumerate(per_seed)} for cell in cells
    }
    for contrast in everyone:
        assert sum(contrast.weights.values()) == pytest.approx(0)
        assert list(contrast.by_seed(scores).values()) == pytest.approx([0, 0, 0], abs=1e-9)


@settings(max_examples=25)
@given(st.permutations(range(12)))
def test_the_order_of_trials_changes_no_number(order):
    cells = expand_cells(TWO, "full", {})
    trials = [(cell, seed) for cell in cells for seed in range(3)]
    ledger = Ledger()
    for index in order:
        cell, seed = trials[index]
        add_trial(ledger, cell.name, seed, 0.5 + 0.01 * ((7 * index) % 12))
    plain = Ledger()
    for index, (cell, seed) in enumerate(trials):
        add_trial(plain, cell.name, seed, 0.5 + 0.01 * ((7 * index) % 12))
    one, two = (Comparisons(cells, book, "m", higher=True) for book in (ledger, plain))
    assert [e.row() for e in one.effects] == [e.row() for e in two.effects]
    assert [r.row() for r in one.rows.values()] == [r.row() for r in two.rows.values()]


def test_effects_are_tested_as_a_family_of_their_own(tmp_path):
    cells = expand_cells(TWO, "full", {})

    def score(levels, seed):
        noise = ((seed * 7 + len(str(levels)) * 3) % 5) / 1000
        return 0.8 + 0.02 * (levels["a"] == "on") + noise * (levels["b"] == "on")

    found = Comparisons(cells, ledger_of(cells, score), "m", higher=True)
    found.write(tmp_path)
    with (tmp_path / "effects.csv").open() as stream:
        rows = {row["effect"]: row for row in csv.DictReader(stream)}
    assert list(rows) == ["a=on", "b=on", "a=on x b=on"]
    values = main_effects(cells)[1].by_seed(found.scores)
    expected = stats.ttest_1samp(list(values.values()), 0)
    assert float(rows["b=on"]["p"]) == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert float(rows["b=on"]["low"]) == pytest.approx(interval.low)
    assert float(rows["b=on"]["p_holm"]) >= float(rows["b=on"]["p"])


def test_failed_pairs_are_dropped_counted_and_bar_helps():
    cells = expand_cells(TWO, "one_at_a_time", {})
    ledger = ledger_of(
        cells, lambda levels, seed: 0.5 + 0.1 * (levels["a"] == "on") + 0.001 * seed * seed
        * (levels["a"] == "on")
    )  # fmt: skip
    whole = Comparisons(cells, ledger, "m", higher=True).rows["a=on b=off"]
    assert (whole.verdict, whole.failed) == ("helps", 0)
    add_trial(ledger, "a=on b=off", 4, 0.0, state="failed")
    add_trial(ledger, "a=off b=off", 4, 0.5)
    barred = Comparisons(cells, ledger, "m", higher=True).rows["a=on b=off"]
    assert (barred.verdict, barred.failed, barred.difference.n) == ("not resolved", 1, 4)
    assert "1 pair lost to failed trials" in barred.words
    # for who wants less of the metric the same numbers may still hurt
    less = Comparisons(cells, ledger, "m", higher=False).rows["a=on b=off"]
    assert less.verdict == "hurts"


def test_a_cell_that_always_failed_stays_in_the_family_and_makes_no_other_surer():
    cells = expand_cells(THREE, "one_at_a_time", {})
    gains = {"on": 0.02, "off": 0.0}

    def score(levels, seed):
        return 0.5 + gains[levels["a"]] + gains[levels["b"]] / 4 + 0.003 * (seed * len(
            [level for level in levels.values() if level == "on"]) % 3)  # fmt: skip

    ledger = ledger_of(cells[:3], score)
    for cell in cells[3:]:
        for seed in range(4):
            add_trial(ledger, cell.name, seed, 0.0, state="failed")
    found = Comparisons(cells, ledger, "m", higher=True)
    for rows in (list(found.rows.values()), found.effects):
        assert len(rows) == 4
        tested, dead = rows[:2], rows[2:]
        raw = [row.difference.p for row in tested]
        assert tested[raw.index(min(raw))].p_holm == pytest.approx(4 * min(raw))
        for row in dead:
            assert (row.difference, row.failed, row.verdict) == (None, 4, "not resolved")
            assert math.isnan(row.p_holm)
        for row in tested:
            if row.verdict == "not resolved":
                assert row.seeds == seeds_needed(row.difference, ALPHA / 4)
    assert "not resolved" in [row.verdict for row in found.effects]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    file = tmp_path_factory.mktemp("search") / "sweep.yaml"
    file.write_text(SEARCH)
    return load_sweep(file)


def confirmed_ledger(failed):
    ledger = Ledger()
    for seed in (100, 101, 102, 103):
        for cell, gain in (("default", 0.0), ("t000", 0.05), ("t001", 0.02)):
            state = "failed" if cell == failed else "completed"
            value = 0.9 + gain + 0.001 * (seed * (3 + int(1000 * gain)) % 7)
            if state == "failed":
                value = float("nan")
            add_trial(ledger, cell, seed, value, state=state, metric=CONFIRMED)
    return ledger


def test_a_best_trial_whose_confirmation_always_fails_is_told_and_helps_nobody(searched):
    whole = {row.name: row for row in judge_confirmation(searched, confirmed_ledger(None))}
    lost = {row.name: row for row in judge_confirmation(searched, confirmed_ledger("t000"))}
    assert list(whole) == list(lost) == ["t000 against default", "t001 against default"]
    assert (lost["t000 against default"].difference, lost["t000 against default"].failed) == (
        None,
        4,
    )
    assert "4 pairs lost to failed trials" in lost["t000 against default"].words
    assert lost["t001 against default"].p_holm == pytest.approx(
        2 * whole["t001 against default"].difference.p
    )


def test_a_default_that_always_fails_is_told_and_one_that_has_not_run_is_waited_for(searched):
    rows = judge_confirmation(searched, confirmed_ledger("default"))
    assert [(row.name, row.difference, row.failed) for row in rows] == [
        ("t000 against default", None, 4),
        ("t001 against default", None, 4),
    ]
    ledger = Ledger()
    assert judge_confirmation(searched, ledger) == []
    add_trial(ledger, "t000", 100, 0.9, metric=CONFIRMED)
    assert judge_confirmation(searched, ledger) == []


def test_a_completed_trial_whose_metric_is_not_a_number_counts_as_failed():
    cells = expand_cells(TWO, "one_at_a_time", {})
    ledger = ledger_of(cells, lambda levels, seed: 0.5 + 0.01 * seed * (levels["a"] == "on"))
    add_trial(ledger, "a=on b=off", 9, float("nan"))
    add_trial(ledger, "a=off b=off", 9, 0.5)
    row = Comparisons(cells, ledger, "m", higher=True).rows["a=on b=off"]
    assert (row.failed, row.difference.n) == (1, 4)


def test_what_is_not_resolved_says_what_the_seeds_leave_and_how_many_would_do():
    cells = expand_cells(TWO, "one_at_a_time", {})
    gains = {0: 0.03, 1: -0.01, 2: 0.02, 3: 0.0}
    ledger = ledger_of(cells, lambda levels, seed: 0.5 + gains[seed] * (levels["a"] == "on"))
    row = Comparisons(cells, ledger, "m", higher=True).rows["a=on b=off"]
    assert row.verdict == "not resolved"
    assert f"±{row.difference.reach:.4f} with 4 seeds; " in row.words
    assert f"about {row.seeds} seeds are needed to detect a difference this small" in row.words


def test_tuning_trials_are_no_scores():
    cells = expand_cells(TWO, "one_at_a_time", {})
    ledger = ledger_of(cells, lambda levels, seed: 0.5)
    add_trial(ledger, cells[0].name, 1000, 0.9, phase="tune")
    assert 1000 not in Comparisons(cells, ledger, "m", higher=True).scores[cells[0].name]


def test_seeds_that_share_a_tuning_count_once():
    """Six seeds in three tunings: the luck of each tuning moves both of its seeds alike."""
    cells = expand_cells(TWO, "one_at_a_time", {})
    tuning_of = {0: 7, 1: 8, 2: 9, 3: 7, 4: 8, 5: 9}
    luck = {7: 0.03, 8: -0.01, 9: 0.02}
    gains = {seed: luck[tuning] + 0.001 * seed for seed, tuning in tuning_of.items()}
    ledger = ledger_of(
        cells, lambda levels, seed: 0.5 + gains[seed] * (levels["a"] == "on"), seeds=tuning_of
    )
    found = Comparisons(cells, ledger, "m", higher=True, tuning_of=tuning_of)
    row = found.rows["a=on b=off"]
    per_tuning = [(gains[0] + gains[3]) / 2, (gains[1] + gains[4]) / 2, (gains[2] + gains[5]) / 2]
    test = stats.ttest_1samp(per_tuning, 0.0)
    low, high = test.confidence_interval(0.95)
    assert (row.difference.n, row.difference.seeds) == (3, 6)
    assert row.difference.p == pytest.approx(test.pvalue)
    assert (row.difference.low, row.difference.high) == pytest.approx((low, high))
    assert "with 6 seeds in 3 tunings; " in row.words
    assert f"about {row.seeds} tunings are needed" in row.words
    assert (found.means["a=on b=off"].n, found.means["a=on b=off"].size) == (3, "6 in 3 tunings")
    unclustered = Comparisons(cells, ledger, "m", higher=True).rows["a=on b=off"]
    assert unclustered.difference.p < row.difference.p, "six of them would claim too much"


def test_two_seeds_of_one_tuning_have_no_interval():
    cells = expand_cells(TWO, "one_at_a_time", {})
    ledger = ledger_of(cells, lambda levels, seed: 0.5 + 0.01 * seed, seeds=(0, 2))
    row = Comparisons(cells, ledger, "m", higher=True, tuning_of={0: 7, 1: 8, 2: 7, 3: 8}).rows[
        "a=on b=off"
    ]
    assert row.difference is None
    assert row.words == "not resolved: fewer than two tunings finished in both"


def test_intervals_over_tunings_cover_where_those_over_seeds_do_not():
    """Nothing helps; a tuning moves a cell by more than a seed does."""
    cells = expand_cells({"a": TWO["a"]}, "full", {})
    tuning_of = {seed: seed % 4 for seed in range(12)}
    draw = random.Random(0)
    wrong = {"seeds": 0, "tunings": 0}
    for _ in range(400):
        luck = {(on, t): draw.gauss(0, 0.02) for on in ("on", "off") for t in range(4)}
        ledger = ledger_of(
            cells,
            lambda levels, seed, luck=luck: (
                luck[levels["a"], tuning_of[seed]] + draw.gauss(0, 0.01)
            ),
            seeds=tuning_of,
        )
        for unit, clusters in (("seeds", None), ("tunings", tuning_of)):
            (row,) = Comparisons(cells, ledger, "m", higher=True, tuning_of=clusters).rows.values()
            wrong[unit] += row.difference.p < ALPHA
    assert stats.binomtest(wrong["tunings"], 400, 0.05, alternative="greater").pvalue > 0.01
    assert wrong["seeds"] > 3 * wrong["tunings"]
