"""Right and wrong, image by image: two intervals, accuracy by class, confusions, McNemar."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scipy import stats

from raymoco import report
from raymoco.config import load_run_config
from raymoco.engine.predictions import Predictions, read_predictions, write_predictions
from raymoco.errors import DataError, InputError
from raymoco.study.report.findings import read_findings
from raymoco.study.statistics.effects import Contrast
from raymoco.study.statistics.judged import judge
from raymoco.study.statistics.outcomes import Outcomes
from raymoco.study.terminal.tables import cells_table
from tests.report_pages import Page, text_of
from tests.written_sweeps import ABLATION, write_ablation, write_search

ONE_SEED = ABLATION.replace("[0, 1, 2, 3, 4]", "[0]")
IMAGES = 360


@pytest.fixture(scope="module")
def ablation(tmp_path_factory):
    return report(write_ablation(tmp_path_factory.mktemp("a") / "terms", images=IMAGES))


def sentences(found):
    return re.findall(r"<li>([^<]*)</li>", text_of(found))


def table(found, heading, title):
    """The rows of the table with a column, in the section of a title, of report.md."""
    section = (found.folder / "report.md").read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    blocks = [block.strip() for block in section.split("\n\n")]
    (block,) = [block for block in blocks if block[:1] == "|" and heading in block.split("\n")[0]]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.split("\n")]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def correct(folder, trial, key="eval/knn"):
    return read_predictions(folder / "predictions" / f"{trial}.npz", key).correct


def test_the_two_intervals_stand_side_by_side_and_say_what_they_are_over(ablation):
    rows = table(ablation, "over seeds and images", "Differences to the baseline")
    assert list(rows[0])[3:5] == ["over training seeds", "over seeds and images"]
    found = read_findings(ablation.folder).comparisons.rows
    for row in rows:
        judged = found[row["cell"]]
        low, high = judged.items.low, judged.items.high
        assert row["over seeds and images"] == f"{low:+.4f} to {high:+.4f}".replace("-", "−")
    (sentence,) = [one for one in sentences(ablation) if one.startswith("uniform on instead")]
    assert re.search(r"helps: \+0\.0.* Over seeds and images \+0\.01\d+ to \+0\.03\d+\.$", sentence)
    assert "Thick: over training seeds; thin: over seeds and images." in text_of(ablation)


def test_what_the_intervals_cover_is_said_as_it_is(ablation, tmp_path):
    (covers,) = [one for one in sentences(ablation) if "leave out the sample of images" in one]
    assert "those over seeds and images have both in them" in covers
    noise = float(re.search(r"standard error of (0\.\d+)", covers)[1])
    compared = read_findings(ablation.folder).comparisons
    squares = [row.items.noise**2 for row in [*compared.rows.values(), *compared.effects]]
    assert noise == pytest.approx(np.sqrt(np.mean(squares)), abs=5e-5)
    without = report(write_ablation(tmp_path / "old"))
    (covers,) = [one for one in sentences(without) if "intervals" in one]
    assert covers.startswith("The intervals cover the seeds of training, not the sample of images")
    assert "over seeds and images" not in text_of(without)


def test_a_difference_that_other_images_may_undo_is_told():
    # each seed gains two or three images: resolved over seeds, not over images
    draw = np.random.default_rng(0)
    labels = np.zeros(100, np.int64)
    ids = np.array([str(number) for number in range(100)])

    def run(wrong):
        taken = labels.copy()
        taken[:wrong] = 1
        return Predictions(ids, labels, taken)

    wrong = {seed: int(draw.integers(10, 12)) for seed in range(8)}
    cells = {
        "off": {seed: run(count + 3) for seed, count in wrong.items()},
        "on": {seed: run(count + seed % 2) for seed, count in wrong.items()},
    }
    scores = {c: {s: one.correct.mean() for s, one in runs.items()} for c, runs in cells.items()}
    contrast = Contrast("on", {}, {}, {"on": 1.0, "off": -1.0})
    (row,) = judge([contrast], scores, {}, higher=True, outcomes=Outcomes(cells))
    assert row.verdict == "helps"
    assert row.words.endswith(", which includes 0")
    assert "helps; over seeds and images -0." in row.words


def test_accuracy_by_class_is_the_mean_over_seeds(ablation):
    rows = table(ablation, "class", "Right and wrong, image by image")
    assert [row["class"] for row in rows] == [f"class {number}" for number in range(10)]
    labels = np.arange(IMAGES) % 10
    runs = [correct(ablation.folder, f"cross=off_uniform=on-s{seed}") for seed in range(5)]
    for number, row in enumerate(rows):
        assert row["images"] == "36"
        expected = np.mean([run[labels == number].mean() for run in runs])
        assert float(row["cross=off uniform=on"]) == pytest.approx(expected, abs=5e-5)


def test_baseline_and_best_have_a_confusion_matrix_that_is_a_picture(ablation):
    names = sorted(path.name for path in ablation.folder.glob("figures/confusion-*"))
    assert names == ["confusion-1.png", "confusion-1.svg", "confusion-2.png", "confusion-2.svg"]
    with Image.open(ablation.folder / "figures" / "confusion-1.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5
    page = text_of(ablation)
    assert "What cross=off uniform=off takes for what" in page
    scores = read_findings(ablation.folder).comparisons.means
    best = max(scores, key=lambda cell: scores[cell].mean)
    assert f"What {best} takes for what" in page
    assert Page(page).open == []
    svg = (ablation.folder / "figures" / "confusion-1.svg").read_text()
    # a row adds up to all images of its class
    predicted = [
        read_predictions(
            ablation.folder / "predictions" / f"cross=off_uniform=off-s{seed}.npz", "eval/knn"
        ).predicted[::10]
        for seed in range(5)
    ]
    right = 100 * np.mean(np.concatenate(predicted) == 0)
    assert f">{right:.0f}</text>" in re.sub(r"<text[^>]*>", ">", svg).replace(">>", ">")


def test_of_a_hundred_classes_the_most_confused_pairs_are_a_table_and_no_picture(tmp_path):
    found = report(write_ablation(tmp_path / "many", images=1000, classes=100))
    assert not list(found.folder.glob("figures/confusion-*"))
    page = text_of(found)
    assert page.count("confuses most, summed over 5 seeds") == 2
    section = page.split("Right and wrong, image by image</h2>")[1].split("<h2>")[0]
    assert "of 100 classes the 10 that gain most and the 10 that lose most" in section
    assert section.count("<tr>") < 60
    counts = r'<td class="number">(\d+)</td>\s*<td class="number">0\.\d{3}<'
    times = [int(hit) for hit in re.findall(counts, section)]
    assert len(times) == 24
    assert times[:12] == sorted(times[:12], reverse=True)


def test_with_one_seed_the_answer_is_over_the_images_alone_with_mcnemars_counts(tmp_path):
    found = report(write_ablation(tmp_path / "one", ONE_SEED, images=IMAGES))
    (row,) = [
        row
        for row in table(found, "McNemar p", "Right and wrong, image by image")
        if row["compared"] == "cross=off uniform=on"
    ]
    on, off = (correct(found.folder, f"cross=off_uniform={level}-s0") for level in ("on", "off"))
    counts = [(on & off).sum(), (on & ~off).sum(), (~on & off).sum(), (~on & ~off).sum()]
    assert list(row.values())[3:7] == [str(count) for count in counts]
    expected = stats.binomtest(counts[1], counts[1] + counts[2]).pvalue
    assert float(row["McNemar p"]) == pytest.approx(expected, rel=0.05)
    page = text_of(found)
    assert "The intervals are over the images alone: with one seed nobody knows" in page
    assert "(images alone)" in page


def test_a_search_shows_what_its_confirmation_predicted(tmp_path):
    found = report(write_search(tmp_path / "found", images=IMAGES))
    (row, _) = table(found, "over seeds and images", "Confirmation on the test set")
    assert row["over seeds and images"]
    assert "What default takes for what" in text_of(found)
    assert any("Over seeds and images" in one for one in sentences(found))


def test_what_is_missing_or_damaged_is_told(tmp_path):
    folder = write_ablation(tmp_path / "terms", images=IMAGES)
    (folder / "predictions" / "cross=on_uniform=on-s0.npz").unlink()
    (folder / "predictions" / "cross=on_uniform=off-s1.npz").write_bytes(b"PK")
    found = report(folder)
    page = text_of(found)
    assert "left them: 1 completed trial (cross=on uniform=on-s0)" in page.replace("_", " ")
    assert "cross=on_uniform=off-s1.npz is damaged" in page
    assert "For 5 of 6 rows predictions are missing" in page


def test_two_sweeps_have_mcnemars_counts_for_each_common_cell_and_seed(tmp_path):
    text = ABLATION.replace("name: terms", "name: longer").replace("[0, 1, 2, 3, 4]", "[3, 4, 5]")
    first = write_ablation(tmp_path / "terms", images=IMAGES)
    second = write_ablation(tmp_path / "longer", text, images=IMAGES, score=lambda c, s: 0.95)
    found = report(first, second)
    rows = table(found, "McNemar p", "Run by run, image by image")
    assert len(rows) == 4 * 2
    row = next(r for r in rows if (r["cell"], r["seed"]) == ("cross=on uniform=on", "4"))
    new, old = (correct(folder, "cross=on_uniform=on-s4") for folder in (second, first))
    assert row["only longer"] == str((new & ~old).sum())
    assert row["only terms"] == str((~new & old).sum())
    other = write_ablation(tmp_path / "fewer", text.replace("longer", "fewer"), images=200)
    refused = text_of(report(first, other))
    assert "cannot be combined: they are of 200 and 360 images" in refused


def write_run(folder, wrong, *overrides, images=50):
    folder.mkdir(parents=True)
    config = load_run_config("digits", ["epochs=1", f"name={folder.name}", *overrides])
    (folder / "config.yaml").write_text(config.to_yaml())
    labels = np.arange(images) % 10
    taken = labels.copy()
    taken[wrong] = (taken[wrong] + 1) % 10
    share = float((taken == labels).mean())
    (folder / "metrics.csv").write_text(f"epoch,test/knn_top1\n1,{json.dumps(share)}\n")
    ids = np.array([str(number) for number in range(images)])
    write_predictions(folder / "predictions.npz", {"test/knn": Predictions(ids, labels, taken)}, ())
    return folder


def test_two_runs_are_compared_image_by_image(tmp_path):
    first = write_run(tmp_path / "one", [0, 1, 2, 3, 4, 5, 6])
    second = write_run(tmp_path / "two", [6, 7], "optim.lr=0.5")
    found = report(first, second)
    assert found.folder == second / "against-one"
    (row,) = table(found, "McNemar p", "Image by image")
    assert (row["both right"], row["only two"], row["only one"], row["neither"]) == (
        "42", "6", "1", "1",
    )  # fmt: skip
    assert row["McNemar p"] == "0.12"
    assert stats.binomtest(6, 7).pvalue == pytest.approx(0.125)
    said = sentences(found)
    assert said[0].startswith("kNN accuracy on test, two instead of one: +0.1000, over the images")
    assert said[-1].startswith("One run each")
    assert "lr: 0.5" in text_of(found)
    with pytest.raises(InputError, match="given twice"):
        report(first, first)


def test_runs_that_cannot_be_compared_are_refused_with_the_reason(tmp_path):
    first = write_run(tmp_path / "one", [1])
    fewer = write_run(tmp_path / "fewer", [1], images=40)
    with pytest.raises(DataError, match="of fewer and one cannot be combined: they are of 40 and"):
        report(first, fewer)
    old = write_run(tmp_path / "old", [1])
    (old / "predictions.npz").unlink()
    with pytest.raises(DataError, match=r"old: there are no predictions of test/knn"):
        report(first, old)


def test_the_terminals_table_has_both(ablation):
    console = Console(width=80)
    with console.capture() as captured:
        console.print(cells_table(read_findings(ablation.folder).comparisons))
    shown = captured.get()
    assert "over seeds and" in shown
    # names and counts have room on 80 columns
    assert re.search(r"cross=off uniform=off +5 +0\.\d{3} \+- ", shown)
    row = read_findings(ablation.folder).comparisons.rows["cross=off uniform=on"]
    assert f"+- {(row.items.high - row.items.low) / 2:.3f}" in shown
