"""Figures of a report: drawn where they mean something, and readable with many cells too."""

import re

import numpy as np
import pytest
from PIL import Image

from raymoco import report
from raymoco.study.report.series_styles import CROWD, CellStyles, figure_names
from raymoco.study.sweepfile.cells import Cell
from tests.report_pages import Page, text_of
from tests.written_sweeps import ABLATION, write_ablation

THREE = ABLATION.replace(
    "seeds:",
    """\
  cool:
    off: {method.temperature: 0.2}
    on:  {method.temperature: 0.1}
seeds:""",
)
MANY = """\
kind: ablation
name: many
run: {preset: digits, epochs: 5, method: {loss: unicon}, data: {labelled_fraction: 0.1}}
factors:
  queue:
    "64": {method.queue_size: 64}
    "128": {method.queue_size: 128}
    "256": {method.queue_size: 256}
  loss:
    InfoNCE:    {method.loss: info_nce}
    SupCon-in:  {method.loss: sup_con_in}
    SupCon-out: {method.loss: sup_con_out}
    UniCon:     {method.loss: unicon}
    UniCon-hot: {method.loss: unicon, method.temperature: 0.3}
seeds: [0, 1, 2]
"""


@pytest.fixture(scope="module")
def ablation(tmp_path_factory):
    return report(write_ablation(tmp_path_factory.mktemp("a") / "terms"))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    def score(cell, seed):
        losses = ["InfoNCE", "SupCon-in", "SupCon-out", "UniCon", "UniCon-hot"]
        queues = ["128", "64", "256"]
        level = 0.05 * losses.index(cell.levels["loss"]) + 0.01 * queues.index(cell.levels["queue"])
        return 0.6 + level + 0.001 * seed * (1 + level)

    return report(write_ablation(tmp_path_factory.mktemp("m") / "many", MANY, score=score))


def names_of(found, pattern):
    return sorted(path.stem for path in found.folder.glob(f"figures/{pattern}.svg"))


def words_of(found, figure):
    svg = (found.folder / f"figures/{figure}.svg").read_text()
    return [re.sub(r"<[^>]+>", "", text) for text in re.findall(r"<text.*?</text>", svg, re.DOTALL)]


def test_figures_are_pictures_and_follow_the_pages_colors(ablation):
    for path in ablation.folder.glob("figures/*.png"):
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"))
            assert picture.width > 600
            assert pixels.std() > 5, f"{path.name} is empty"
    figure = (ablation.folder / "figures/differences.svg").read_text()
    assert figure.startswith("<svg")
    assert "var(" not in figure, "a figure for a paper stands alone"
    assert "var(--ink)" in text_of(ablation)
    assert not re.search(r'style="[^"]*#1b1f24', text_of(ablation))


@pytest.mark.parametrize(
    ("design", "count"), [("full", 3), ("leave_one_out", 0), ("one_at_a_time", 0)]
)
def test_factors_are_drawn_together_only_where_the_design_crosses_them(tmp_path, design, count):
    # in leave-one-out both off means everything off: a line there would show the other factors
    found = report(write_ablation(tmp_path / "terms", THREE + f"design: {design}\n"))
    assert len(names_of(found, "interaction-*")) == count
    assert text_of(found).count("averaged over the other factors") == count


def test_two_factors_are_crossed_by_leave_one_out_as_well(tmp_path):
    found = report(write_ablation(tmp_path / "terms", ABLATION + "design: leave_one_out\n"))
    assert names_of(found, "interaction-*") == ["interaction-1-cross-uniform"]
    assert "averaged over the other factors" not in text_of(found)


@pytest.mark.parametrize("names", [("lr (a)", "lr [a]"), ("a" * 200, "b" * 200)])
def test_each_figure_has_a_file_and_ids_of_its_own_whatever_factors_are_called(tmp_path, names):
    text = THREE.replace("  cross:", f'  "{names[0]}":').replace("  uniform:", f'  "{names[1]}":')
    found = report(write_ablation(tmp_path / "terms", text))
    assert len(names_of(found, "interaction-*")) == 3
    ids = Page(text_of(found)).ids
    assert len(ids) == len(set(ids))


def test_of_many_cells_the_baseline_the_best_and_the_worst_are_named(many):
    legend = ["baseline (queue=64 loss=InfoNCE)", "best: queue=256 loss=UniCon-hot",
              "worst: queue=128", "the other 12"]  # fmt: skip
    for figure in ("learning-curves", "accuracy-and-speed"):
        words = words_of(many, figure)
        assert words[-4:] == legend
    assert text_of(many).count("Of 15 only the baseline, the best and the worst are named.") == 2


def test_a_forest_of_many_cells_is_sorted_and_names_what_differs(many):
    words = [w for w in words_of(many, "differences") if "=" in w or w == "UniCon-hot"]
    assert len(words) == 14
    assert words[0] == "queue=256 loss=UniCon-hot"
    assert words[-1] == "queue=128"
    assert "Best first" in text_of(many)
    heights = re.findall(r'viewBox="0 0 [\d.]+ ([\d.]+)"', text_of(many))
    assert max(map(float, heights)) < 72 * 6, "no figure is longer than a page"


def test_levels_whose_names_begin_alike_stay_apart(many):
    words = words_of(many, "interaction-1-loss-queue")
    assert {"InfoNCE", "SupCon-in", "SupCon-out", "UniCon", "UniCon-hot"} <= set(words)
    assert {"queue=64", "queue=128", "queue=256"} <= set(words), "fewer lines than levels"


def test_less_is_better_turns_best_and_worst():
    scores = {f"c{n}": float(n) for n in range(CROWD + 1)}
    for higher, best in ((True, f"c{CROWD}"), (False, "c0")):
        marks = CellStyles(higher).styles(scores)
        assert marks[best].label == f"best: {best}"
        assert sum(mark.faint for mark in marks.values()) == CROWD - 1
        assert set(marks) == set(scores)
    few = CellStyles(True, baseline="c0").styles(
        {name: scores[name] for name in list(scores)[:CROWD]}
    )
    assert len({(mark.color, mark.marker, mark.dash) for mark in few.values()}) == CROWD


def test_a_baseline_that_is_the_best_is_named_once():
    marks = CellStyles(True, {"a": "baseline"}, "a").styles(
        {"a": 1.0} | {f"c{n}": 0.0 for n in range(20)}
    )
    assert [mark.label for mark in marks.values() if mark.label] == [
        "best: baseline", "worst: c19", "the other 19",
    ]  # fmt: skip


def test_cells_that_would_be_called_the_same_keep_their_names():
    cells = [
        Cell({"a": "0", "b": "0"}, {}),
        Cell({"a": "1 b=2", "b": "0"}, {}),
        Cell({"a": "1", "b": "2"}, {}),
    ]
    assert figure_names(cells) == {cell.name: cell.name for cell in cells}
    assert list(figure_names(cells[::2]).values()) == ["baseline (a=0 b=0)", "a=1 b=2"]
