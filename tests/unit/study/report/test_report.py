"""The report of a sweep: what it says is what trials.csv gives."""

import json
import math
import re

import numpy as np
import pytest
from scipy import stats

from raymoco import report
from raymoco.errors import DataError, InputError
from raymoco.study.report.render import NOTE_LENGTH
from tests.report_pages import Page, rows_of, text_of
from tests.written_sweeps import ABLATION, SEARCH, write_ablation, write_search

TUNE = "tune: {axes: {optim.lr: {loguniform: [0.01, 0.3]}}, trials: 3}\n"


@pytest.fixture(scope="module")
def ablation(tmp_path_factory):
    return report(write_ablation(tmp_path_factory.mktemp("a") / "terms", ABLATION + TUNE))


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    return report(write_search(tmp_path_factory.mktemp("s") / "found"))


def test_scipy_reproduces_the_intervals_from_trials_csv(ablation):
    scores = {}
    for row in rows_of(ablation.folder / "trials.csv"):
        if row["phase"] != "tune":
            scores.setdefault(row["cell"], {})[row["seed"]] = float(row["eval/knn_top1"])
    compared = rows_of(ablation.folder / "comparisons.csv")
    assert len(compared) == 3
    for row in compared:
        cell, start = scores[row["cell"]], scores[row["baseline"]]
        found = stats.ttest_rel([cell[s] for s in cell], [start[s] for s in cell])
        interval = found.confidence_interval(0.95)
        assert float(row["low"]) == pytest.approx(interval.low)
        assert float(row["high"]) == pytest.approx(interval.high)
        assert float(row["p"]) == pytest.approx(found.pvalue)
        assert f"{float(row['low']):+.4f}".replace("-", "−") in text_of(ablation)
    (effect,) = [r for r in rows_of(ablation.folder / "effects.csv") if r["effect"] == "uniform=on"]
    by_cell = {name: np.array(list(values.values())) for name, values in scores.items()}
    gain = (
        by_cell["cross=off uniform=on"] + by_cell["cross=on uniform=on"]
        - by_cell["cross=off uniform=off"] - by_cell["cross=on uniform=off"]
    ) / 2  # fmt: skip
    interval = stats.ttest_1samp(gain, 0).confidence_interval(0.95)
    assert (float(effect["low"]), float(effect["high"])) == pytest.approx(tuple(interval))


def test_the_answer_comes_first_a_sentence_per_factor_with_its_interval(ablation):
    page = text_of(ablation)
    assert page.index("Does each term help?") < page.index("cross on instead of off")
    assert page.index("uniform on instead of off") < page.index("<h2>")
    (sentence,) = re.findall(r"<li>(uniform on instead of off[^<]*)</li>", page)
    (effect,) = [r for r in rows_of(ablation.folder / "effects.csv") if r["effect"] == "uniform=on"]
    assert effect["verdict"] == "helps"
    assert "helps: +0.0" in sentence
    assert "95 % interval" in sentence
    (left,) = re.findall(r"<li>(cross on instead of off[^<]*)</li>", page)
    assert "not resolved" in left
    assert re.search(r"±0\.\d{4} with 5 seeds; ", left)
    assert "seeds are needed to detect a difference this small" in left
    # what the intervals leave out stands beside them
    reach = 1.96 * math.sqrt(0.91 * 0.09 / 148)
    (covers,) = re.findall(r"<li>(The intervals cover[^<]*)</li>", page)
    said = float(re.search(r"known to ±(0\.\d+)", covers)[1])
    assert said == pytest.approx(reach, abs=0.002)
    assert "on 148 eval images" in covers


def test_an_ablation_shows_all_that_it_has(ablation):
    names = {path.name for path in ablation.folder.glob("figures/*")}
    for figure in ("differences", "effects", "interaction-1-cross-uniform", "learning-curves",
                   "accuracy-and-speed"):  # fmt: skip
        assert {f"{figure}.svg", f"{figure}.png"} <= names
    page = text_of(ablation)
    for heading in ("Cells", "Differences to the baseline", "Factors", "What was tuned", "Trials",
                    "What ran on what"):  # fmt: skip
        assert f"<h2>{heading}</h2>" in page
    assert "the same 3 settings of optim.lr were tried" in page
    assert set(ablation.files) >= {ablation.folder / "report.md", ablation.folder / "report.tex"}


def test_a_search_shows_all_that_it_has(search):
    names = {path.stem for path in search.folder.glob("figures/*.png")}
    assert {
        "confirmation", "best-so-far", "parallel-coordinates", "importance", "learning-curves",
        "accuracy-and-speed", "slice-method.temperature", "slice-method.queue_size",
    } <= names  # fmt: skip
    page = text_of(search)
    counts = re.search(r"<td>search</td>(.*?)</tr>", page, re.DOTALL)[1]
    assert re.findall(r">(\d+)<", counts) == ["28", "8", "0", "4", "40"]
    assert "nan at epoch 2" in page
    assert "survived pruning" in page
    assert "pruned early" in (search.folder / "figures/slice-method.queue_size.svg").read_text()
    best = max(
        (r for r in rows_of(search.folder / "trials.csv")
         if r["state"] == "completed" and not r["cell"]),
        key=lambda row: float(row["eval/knn_top1"]),
    )  # fmt: skip
    assert f"the best reached {float(best['eval/knn_top1']):.4f}" in page
    assert "t000 against default on fresh seeds" in page


def test_the_page_needs_nothing_else_and_is_well_formed(ablation, search):
    for found in (ablation, search):
        page = Page(text_of(found))
        assert page.open == []
        assert not {"script", "iframe", "img"} & set(page.tags)
        assert len(page.ids) == len(set(page.ids)), "no two elements share an id"
        for address in page.addresses:
            assert address.startswith(("#", "data:"))
        assert "url(http" not in text_of(found)


def test_the_summary_fits_into_mlflows_description(search):
    assert (search.folder / "summary.md").read_text() == search.note
    assert len(search.note) <= NOTE_LENGTH
    assert search.note.startswith("# found")
    assert "**Confirmation on the test set**" in search.note


def test_failed_trials_are_counted_with_their_reasons_and_bar_helps(tmp_path):
    found = report(write_ablation(tmp_path / "terms", failed=("cross=off_uniform=on-s1",)))
    (row,) = [r for r in rows_of(found.folder / "effects.csv") if r["effect"] == "uniform=on"]
    assert (row["n"], row["failed_pairs"], row["verdict"]) == ("4", "1", "not resolved")
    page = text_of(found)
    assert "1 pair was lost to failed trials" in page
    assert "nan at epoch 2" in page


def test_a_sweep_that_has_barely_begun_has_a_report(tmp_path):
    folder = write_search(tmp_path / "found", trials=1)
    lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
    (folder / "journal.jsonl").write_text("".join(lines[:4]))
    assert "No trial was completed." in text_of(report(folder))
    (folder / "journal.jsonl").write_text("")
    assert "No trial was completed." in text_of(report(folder))
    empty = write_ablation(tmp_path / "terms")
    (empty / "journal.jsonl").write_text("")
    assert "Fewer than two seeds finished" in text_of(report(empty))


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no sweep\.yaml"):
        report(tmp_path)
    with pytest.raises(InputError, match="3 folders were given"):
        report(tmp_path, tmp_path, tmp_path)


def test_the_same_sweep_gives_the_same_report(tmp_path):
    folder = write_ablation(tmp_path / "terms")
    files = {path: path.read_bytes() for path in report(folder).files}
    assert {path: path.read_bytes() for path in report(folder).files} == files


def test_several_objectives_have_a_front(tmp_path):
    text = SEARCH.replace("scheduler: {name: asha, grace_epochs: 2}\n", "")
    text += "objective: [{metric: eval/knn_top1}, {metric: train/loss, mode: min}]\n"
    found = report(write_search(tmp_path / "found", text))
    assert "<h2>Pareto front</h2>" in text_of(found)
    assert (found.folder / "figures/pareto-front.svg").exists()


def test_a_level_of_the_epochs_is_a_setting_like_any_other(tmp_path):
    text = ABLATION.replace(
        "    on:  {method.cross_consistency.weight: 1.0}",
        "    on:  {method.cross_consistency.weight: 1.0, epochs: 7}",
    )
    page = text_of(report(write_ablation(tmp_path / "terms", text)))
    assert "epochs=7" in page
    assert "epochs vary" in page
    assert "5 epochs each" not in page


def test_where_less_is_better_it_is_said(tmp_path, ablation):
    text = ABLATION + "metric: train/loss\n"
    found = report(write_ablation(tmp_path / "terms", text))
    page = text_of(found)
    assert "Differences are in training loss (less is better), paired by seed" in page
    assert "; less is better" in (found.folder / "figures/differences.svg").read_text()
    assert "<h2>Score against speed</h2>" in page
    assert "Accuracy" not in page
    assert "less is better" not in text_of(ablation)


def test_gang_time_leaves_out_the_night_between_two_drivers(tmp_path):
    folder = write_search(tmp_path / "found", trials=1)
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    proposed = next(event for event in events if event["event"] == "proposed")
    taken = {"event": "assigned", "trial_id": "t000", "gang": "g0"}
    left = {"event": "ended", "trial_id": "t000"}
    journal = [
        events[0],
        proposed,
        {**taken, "attempt": 1, "time": 0.0},
        {**left, "state": "stopped", "reason": "interrupted", "time": 60.0},
        {**taken, "attempt": 2, "time": 36000.0},
        {**left, "state": "completed", "reason": "", "time": 36120.0},
    ]
    (folder / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in journal))
    assert "All trials together took 3.0 minutes of gang time" in text_of(report(folder))


@pytest.mark.parametrize(
    ("scheduler", "trials", "reason"),
    [
        ("{name: pbt, every_epochs: 2}", 40, "a population changes its values during training"),
        ("{name: asha, grace_epochs: 2}", 12, "8 trials completed, 20 are the fewest"),
    ],
)
def test_importance_that_is_not_estimated_has_its_own_reason(tmp_path, scheduler, trials, reason):
    text = SEARCH.replace("{name: asha, grace_epochs: 2}", scheduler)
    text = text.replace(
        "method.queue_size:               {choice: [64, 128, 256]}",
        "optim.lr: {uniform: [0.1, 0.2]}",
    )
    text = text.replace("trials: 40", f"trials: {trials}")
    page = text_of(report(write_search(tmp_path / "found", text, trials)))
    assert page.count("Not estimated") == 1
    assert f"Not estimated: {reason}" in page


def test_captions_name_the_trials_that_are_drawn(search):
    page = text_of(search)
    assert "of the completed and the pruned trials by epoch" in page
    assert "Completed and pruned trials by method.queue_size" in page
    assert "very trial of the search" not in page


def test_a_report_says_whether_the_luck_of_tuning_is_in_its_intervals(ablation, tmp_path):
    assert "The luck of tuning is not in these intervals" in text_of(ablation)
    several = ABLATION.replace("[0, 1, 2, 3, 4]", "[0, 1, 2, 3, 4, 5]") + TUNE.replace(
        "trials: 3", "trials: 3, seeds: [1000, 1001, 1002]"
    )
    page = text_of(report(write_ablation(tmp_path / "several", several)))
    assert "The luck of tuning is not in these intervals" not in page
    assert "each of 3 tuning seeds, drawn anew for each" in page
    assert "averaged over the seeds of each of 3 tunings" in page
    assert "6 seeds in 3 tunings" in page
    found = rows_of(tmp_path / "several" / "comparisons.csv")
    assert {row["n"] for row in found} == {"3"}
    scores = {}
    for row in rows_of(tmp_path / "several" / "trials.csv"):
        if row["phase"] != "tune":
            scores.setdefault(row["cell"], {})[int(row["seed"])] = float(row["eval/knn_top1"])
    for row in found:
        means = [
            [(by_seed[s] + by_seed[s + 3]) / 2 for s in range(3)]
            for by_seed in (scores[row["cell"]], scores[row["baseline"]])
        ]
        assert float(row["p"]) == pytest.approx(stats.ttest_rel(*means).pvalue)


def test_two_sweeps_are_paired_over_their_common_tunings(tmp_path):
    text = ABLATION.replace("[0, 1, 2, 3, 4]", "[0, 1, 2, 3, 4, 5]")
    tuned = text + TUNE.replace("trials: 3", "trials: 3, seeds: [1000, 1001, 1002]")
    one = write_ablation(tmp_path / "one", tuned)
    two = write_ablation(tmp_path / "two", text, score=lambda cell, seed: 0.9 + 0.01 * seed**2)
    assert "6 seeds in 3 tunings" in text_of(report(one, two))
