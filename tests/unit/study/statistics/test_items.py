"""Intervals over seeds and images: against scipy, by hand, and by simulation."""

import csv
import math

import numpy as np
import pytest
from scipy import stats

from raymoco import report
from raymoco.engine.predictions import Predictions, read_predictions, write_predictions
from raymoco.errors import DataError
from raymoco.study.journal.events import TrialState
from raymoco.study.journal.ledger import TrialRecord, load_ledger
from raymoco.study.statistics.comparisons import compare_cells
from raymoco.study.statistics.effects import Contrast
from raymoco.study.statistics.items import (
    MeanSquares,
    class_accuracies,
    confusion,
    crossed_reach,
    item_interval,
    item_noise,
    item_row,
    mcnemar,
    mean_squares,
    most_confused,
)
from raymoco.study.statistics.outcomes import Outcomes, joined, load_outcomes, matched
from raymoco.study.statistics.paired import mean_difference
from raymoco.study.sweepfile.load import load_sweep
from tests.written_sweeps import ABLATION, write_ablation

# two seeds, four images; worked by hand: m = 3, seeds 2.5 and 3.5, images 1.5, 3, 3, 4.5
TABLE = np.array([[1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 3.0, 5.0]])


def bits(text):
    return np.array([letter == "1" for letter in text])


def test_mean_squares_are_those_worked_by_hand():
    squares = mean_squares(TABLE)
    # 4 (0.25 + 0.25) / 1; 2 (2.25 + 0 + 0 + 2.25) / 3; residuals +-(0, 0.5, 0.5, 0): 1 / 3
    assert squares.seed == pytest.approx(2)
    assert squares.image == pytest.approx(3)
    assert squares.residual == pytest.approx(1 / 3)
    assert squares.degrees == (1, 3, 3)


def test_the_crossed_reach_is_the_one_worked_by_hand():
    # many seeds, so that no floor counts: (6 + 5 - 1) / (50 * 100), Satterthwaite's degrees
    squares = MeanSquares(6.0, 5.0, 1.0, 50, 100)
    degrees = 10**2 / (36 / 49 + 25 / 99 + 1 / (49 * 99))
    assert degrees == pytest.approx(101.2735, abs=1e-4)
    expected = stats.t.ppf(0.975, degrees) * math.sqrt(10 / 5000)
    assert crossed_reach(squares) == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(0.08871, abs=1e-5)


@pytest.mark.parametrize(
    ("squares", "over"),
    [
        (MeanSquares(4.0, 0.5, 1.0, 3, 100), "seed"),  # no effect of images: less than the residual
        (
            MeanSquares(0.0, 0.5, 1.0, 3, 100),
            "image",
        ),  # no spread over seeds: the total is negative
        (MeanSquares(4.0, 1.1, 1.0, 3, 100), "seed"),  # only by its many degrees the narrower one
    ],
)
def test_the_interval_over_both_is_never_narrower_than_that_over_either(squares, over):
    value, degrees = {
        "seed": (squares.seed, squares.seeds - 1),
        "image": (squares.image, squares.images - 1),
    }[over]
    alone = stats.t.ppf(0.975, degrees) * math.sqrt(value / (squares.seeds * squares.images))
    assert crossed_reach(squares) == pytest.approx(alone, rel=1e-12)


def test_over_seeds_alone_and_over_images_alone_are_the_t_intervals_of_scipy():
    draw = np.random.default_rng(1)
    seeds = np.repeat(draw.normal(0.02, 0.01, (5, 1)), 300, axis=1)  # all images alike
    found = item_interval(seeds)
    over_seeds = mean_difference(seeds.mean(1).tolist())
    assert (found.low, found.high) == pytest.approx((over_seeds.low, over_seeds.high))
    images = np.repeat(draw.integers(-1, 2, (1, 300)).astype(float), 4, axis=0)  # all seeds alike
    found = item_interval(images)
    low, high = stats.ttest_1samp(images[0], 0).confidence_interval(0.95)
    # MS_image / (S I) is the variance of the mean over images, whatever S
    assert (found.low, found.high) == pytest.approx((low, high))


def test_it_contains_the_interval_over_the_same_seeds():
    draw = np.random.default_rng(2)
    for seeds in (2, 3, 5, 10):
        d = draw.integers(-1, 2, (seeds, 150)) + draw.normal(0, 0.02, (seeds, 1))
        found, over_seeds = item_interval(d), mean_difference(d.mean(1).tolist())
        assert found.difference == pytest.approx(over_seeds.difference)
        assert found.low <= over_seeds.low + 1e-12
        assert found.high >= over_seeds.high - 1e-12
        assert (found.seeds, found.images, found.over) == (seeds, 150, "seeds and images")


def test_only_images_that_one_of_two_runs_gets_right_add_to_the_noise():
    first, second = bits("1111100000"), bits("1110011000")
    d = first.astype(float) - second
    # two gained, two lost of ten: sqrt(4 / 9 / 10)
    assert item_noise(d) == pytest.approx(math.sqrt(4 / 9 / 10))
    assert item_noise(d) == pytest.approx(stats.sem(d))
    unpaired = math.sqrt(np.var(first, ddof=1) / 10 + np.var(second, ddof=1) / 10)
    assert item_noise(d) < unpaired
    assert item_noise(np.zeros(10)) == 0
    assert math.isnan(item_noise(np.zeros(1)))


def test_one_seed_gives_the_interval_over_the_images_alone_and_says_so():
    d = bits("1111100000").astype(float) - bits("1100011000")
    found = item_interval(d[None])
    low, high = stats.ttest_1samp(d, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.over == "the images alone"
    assert found.words.startswith("over the images alone +0.1000, -0.4278 to")
    assert item_interval(d[None, :1]) is None


def test_the_noise_of_several_seeds_is_that_of_a_single_one():
    draw = np.random.default_rng(3)
    d = draw.integers(-1, 2, (6, 200)).astype(float)
    found = item_interval(d)
    assert found.noise == pytest.approx(math.sqrt(np.mean([stats.sem(row) ** 2 for row in d])))


def test_runs_that_are_equal_image_by_image_have_an_interval_of_no_width():
    found = item_interval(np.zeros((3, 50)))
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert not found.resolved


@pytest.mark.parametrize(
    ("seeds", "seed", "image", "rest"),
    [(3, 0.01, 0.2, 0.2), (5, 0.02, 0.2, 0.2), (10, 0.01, 0.1, 0.3), (5, 0.0, 0.2, 0.2)],
)
def test_simulated_intervals_cover_the_truth_about_95_times_in_100(seeds, seed, image, rest):
    draw, truth, times, images = np.random.default_rng(4), 0.05, 1500, 200
    covered = over_seeds = 0
    for _ in range(times):
        d = truth + draw.normal(0, seed, (seeds, 1)) + draw.normal(0, image, (1, images))
        d += draw.normal(0, rest, (seeds, images))
        found, alone = item_interval(d), mean_difference(d.mean(1).tolist())
        covered += found.low <= truth <= found.high
        over_seeds += alone.low <= truth <= alone.high
    # the Monte-Carlo error of 1,500 is 0.006; with 3 seeds the floor makes it wide
    assert 0.935 <= covered / times <= 0.98, covered / times
    # over seeds alone it is far from that: all runs are judged by the same images
    assert over_seeds / times < 0.92, over_seeds / times


def test_simulated_right_and_wrong_answers_are_covered_too():
    draw, seeds, images, times = np.random.default_rng(5), 5, 200, 1500
    # right if a normal score is above 0: hard images are hard for both cells, seeds differ
    means, spread = (1.0, 0.8), math.sqrt(1.5**2 + 0.15**2 + 0.7**2)
    truth = np.subtract(*(stats.norm.cdf(mean / spread) for mean in means))
    covered = 0
    for _ in range(times):
        image = draw.normal(0, 1.5, (1, images))
        one, other = (
            mean + image + draw.normal(0, 0.15, (seeds, 1)) + draw.normal(0, 0.7, (seeds, images))
            > 0
            for mean in means
        )
        found = item_interval(one.astype(float) - other)
        covered += found.low <= truth <= found.high
    assert 0.935 <= covered / times <= 0.975, covered / times


def test_mcnemar_counts_images_and_has_scipys_exact_p():
    first = bits("1" * 60 + "1" * 15 + "0" * 4 + "0" * 21)
    second = bits("1" * 60 + "0" * 15 + "1" * 4 + "0" * 21)
    found = mcnemar(first, second)
    assert (found.both, found.gained, found.lost, found.neither) == (60, 15, 4, 21)
    # by hand: 2 sum_{k <= 4} C(19, k) / 2^19
    by_hand = 2 * sum(math.comb(19, k) for k in range(5)) / 2**19
    assert found.p == pytest.approx(by_hand, rel=1e-12)
    assert found.p == pytest.approx(0.01921, abs=1e-5)
    assert mcnemar(second, first).p == pytest.approx(found.p)
    assert mcnemar(first, first).p == 1


def test_accuracy_by_class_and_what_was_taken_for_what():
    labels = np.array([0, 0, 0, 2, 2, 1])
    runs = [np.array([0, 0, 1, 2, 0, 1]), np.array([0, 1, 1, 2, 2, 0])]
    correct = np.stack([run == labels for run in runs])
    found = class_accuracies(labels, correct)
    assert [(c.label, c.images) for c in found] == [(0, 3), (1, 1), (2, 2)]
    assert [c.accuracy for c in found] == pytest.approx([3 / 6, 1 / 2, 3 / 4])
    matrix = confusion(labels, runs, 4)
    assert matrix.tolist() == [[3, 3, 0, 0], [1, 1, 0, 0], [1, 0, 3, 0], [0, 0, 0, 0]]
    assert most_confused(matrix, 5) == [(0, 1, 3), (1, 0, 1), (2, 0, 1)]
    assert most_confused(matrix, 1) == [(0, 1, 3)]


LABELS = np.arange(40) % 4
IDS = np.array([f"image-{i}" for i in range(40)])


def predicted(wrong, labels=LABELS, ids=IDS):
    """Predictions of which the first `wrong` are."""
    taken = labels.copy()
    taken[:wrong] = (taken[:wrong] + 1) % 4
    return Predictions(ids, labels, taken)


def trial(cell, seed, score, state=TrialState.COMPLETED):
    row = {"epoch": 1, "test/knn_top1": score}
    return TrialRecord(f"{cell}-s{seed}", {}, cell, seed, state=state, rows={1: row})


def write(folder, cell, seed, one):
    path = folder / "predictions" / f"{cell}-s{seed}.npz"
    write_predictions(path, {"test/knn": one}, ("a", "b", "c", "d"))
    return trial(cell, seed, float(one.correct.mean()))


def contrast(one="on", other="off"):
    return Contrast(one, {}, {}, {one: 1.0, other: -1.0})


def test_outcomes_are_read_by_cell_and_seed_and_their_mean_is_the_difference_of_scores(tmp_path):
    trials = [write(tmp_path, c, s, predicted(n)) for c, s, n in
              (("on", 0, 3), ("off", 0, 8), ("on", 1, 2), ("off", 1, 9), ("on", 2, 5))]  # fmt: skip
    found = load_outcomes(tmp_path, trials, "test/knn_top1")
    assert {cell: sorted(seeds) for cell, seeds in found.by_cell.items()} == {
        "on": [0, 1, 2], "off": [0, 1],
    }  # fmt: skip
    assert found.classes == ("a", "b", "c", "d")
    assert (found.missing, found.problems) == ((), ())
    interval = found.interval(contrast(), [0, 1])
    assert interval.difference == pytest.approx(np.mean([5, 7]) / 40)
    assert interval.mcnemar is None
    # the interval is of the same seeds as the difference, or it is not
    assert found.interval(contrast(), [0, 1, 2]) is None
    assert found.interval(contrast("on", "gone"), [0]) is None
    assert found.interval(contrast(), []) is None
    single = found.interval(contrast(), [1])
    assert (single.mcnemar.gained, single.mcnemar.lost) == (7, 0)
    assert item_row(single) == [single.low, single.high, 2 / 2**7]
    assert item_row(None) == ["", "", ""]


def test_weights_of_an_effect_are_those_of_its_cells(tmp_path):
    cells = ("aa", "ab", "ba", "bb")
    trials = [write(tmp_path, c, s, predicted(3 * n + s)) for n, c in enumerate(cells)
              for s in (0, 1)]  # fmt: skip
    found = load_outcomes(tmp_path, trials, "test/knn_top1")
    weights = {"ba": 0.5, "bb": 0.5, "aa": -0.5, "ab": -0.5}
    effect = Contrast("a=b", {"a": "b"}, {"a": "a"}, weights)
    interval = found.interval(effect, [0, 1])
    assert interval.difference == pytest.approx(-6 / 40)
    only = found.interval(effect, [0])
    assert only.mcnemar is None  # four runs, not two


def test_a_metric_without_outcomes_and_a_folder_of_version_0_1_have_none(tmp_path):
    trials = [trial("on", 0, 0.9), trial("on", 1, 0.9, TrialState.FAILED)]
    assert not load_outcomes(tmp_path, trials, "train/loss").by_cell
    found = load_outcomes(tmp_path, trials, "test/knn_top1")
    assert not found
    assert (found.missing, found.problems) == (("on-s0",), ())


def test_a_damaged_file_and_one_that_is_not_the_journals_are_left_out_and_told(tmp_path):
    trials = [write(tmp_path, "on", seed, predicted(3)) for seed in range(3)]
    (tmp_path / "predictions" / "on-s0.npz").write_bytes(b"PK")
    trials[1] = trial("on", 1, 0.5)
    found = load_outcomes(tmp_path, trials, "test/knn_top1")
    assert sorted(found.by_cell["on"]) == [2]
    damaged, other = found.problems
    assert "on-s0.npz is damaged" in damaged
    assert "on-s1.npz: 0.925000 of its test/knn are right, but the journal has 0.500000" in other


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (predicted(0, LABELS[:39], IDS[:39]), "they are of 39 and 40 images"),
        (predicted(0, ids=np.roll(IDS, 1)), "image 0 is image-39 in the one, image-0 in the other"),
        (predicted(0, np.roll(LABELS, 1)), "label 0 is 3 in the one, 0 in the other"),
    ],
)
def test_runs_on_other_images_are_never_combined_and_the_two_are_named(tmp_path, other, words):
    with pytest.raises(DataError, match=f"of b and a cannot be combined: {words}"):
        matched(other, predicted(1), ("b", "a"))
    trials = [write(tmp_path, "on", 0, predicted(3)), write(tmp_path, "off", 0, other)]
    found = load_outcomes(tmp_path, trials, "test/knn_top1")
    assert not found
    assert found.problems == (f"the predictions of off-s0 and on-s0 cannot be combined: {words}.",)
    both = joined({
        "1": Outcomes({"on": {0: predicted(3)}}), "2": Outcomes({"on": {0: other}}),
    })  # fmt: skip
    assert not both
    assert words in both.problems[0]


def test_outcomes_of_two_sweeps_stand_side_by_side():
    one, two = (Outcomes({"on": {0: predicted(n)}}, ("a",), ("x",)) for n in (3, 5))
    both = joined({"1": one, "2": two})
    assert sorted(both.by_cell) == ["1/on", "2/on"]
    assert both.missing == ("1/x", "2/x")
    found = both.interval(contrast("2/on", "1/on"), [0])
    assert (found.mcnemar.gained, found.mcnemar.lost) == (0, 2)
    assert both.correct("2/on").shape == (1, 40)
    assert both.labels.tolist() == LABELS.tolist()


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_tables_of_an_ablation_end_with_the_interval_over_seeds_and_images(tmp_path):
    folder = write_ablation(tmp_path / "a", images=360)
    found = compare_cells(
        load_sweep(folder / "sweep.yaml"), load_ledger(folder / "journal.jsonl"), folder
    )
    found.write(folder)
    for name in ("comparisons.csv", "effects.csv"):
        rows = rows_of(folder / name)
        assert rows
        assert list(rows[0])[-3:] == ["low_items", "high_items", "mcnemar_p"]
        for row in rows:
            assert float(row["low_items"]) < float(row["low"])
            assert float(row["high"]) < float(row["high_items"])
            assert row["mcnemar_p"] == ""  # of five runs each
    row = found.rows["cross=on uniform=off"]
    assert row.items.difference == pytest.approx(row.difference.difference)
    assert (row.items.seeds, row.items.images) == (5, 360)


def test_with_one_seed_the_tables_have_the_interval_over_images_and_mcnemars_p(tmp_path):
    text = ABLATION.replace("[0, 1, 2, 3, 4]", "[0]").replace(
        "  uniform:\n    off: {method.negative_uniformity.weight: 0}\n"
        "    on:  {method.negative_uniformity.weight: 0.1}\n", "",
    )  # fmt: skip
    folder = write_ablation(tmp_path / "a", text, images=360)
    report(folder)
    (row,) = rows_of(folder / "comparisons.csv")
    assert (row["n"], row["low"], row["verdict"]) == ("0", "", "not resolved")
    trials = [
        read_predictions(folder / "predictions" / f"cross={one}-s0.npz", "eval/knn").correct
        for one in ("on", "off")
    ]
    b, c = (trials[0] & ~trials[1]).sum(), (~trials[0] & trials[1]).sum()
    assert float(row["mcnemar_p"]) == pytest.approx(stats.binomtest(b, b + c).pvalue)
    assert float(row["low_items"]) < (b - c) / 360 < float(row["high_items"])


def test_where_predictions_are_missing_the_columns_are_empty_and_the_rest_is_as_it_was(tmp_path):
    folder = write_ablation(tmp_path / "a", images=360)
    report(folder)
    before = rows_of(folder / "comparisons.csv")
    (folder / "predictions" / "cross=on_uniform=off-s3.npz").unlink()
    report(folder)
    for then, now in zip(before, rows_of(folder / "comparisons.csv"), strict=True):
        lost = then["cell"] == "cross=on uniform=off"
        assert (now["low_items"] == "") == lost
        assert now == then or lost
        assert {**now, "low_items": "", "high_items": ""} == {
            **then, "low_items": "", "high_items": "",
        }  # fmt: skip
