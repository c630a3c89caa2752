"""Figures of ten thousand trials are as large as those of a thousand, and say what they show."""

import random

import pytest

from raymoco.study.journal.events import TrialState
from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.journal.ranking import undominated
from raymoco.study.report.run_charts import score_against_speed, search_curves
from raymoco.study.report.search_charts import best_curve, front_chart, parallel_coordinates, slices
from raymoco.study.report.series_styles import CellStyles
from raymoco.study.report.thinning import thinned
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.sections import Objective

AXES = {
    "method.temperature": Axis.model_validate({"loguniform": [0.05, 0.5]}),
    "method.queue_size": Axis.model_validate({"choice": [64, 128]}),
}
SCORE, SPEED = "eval/knn_top1", "perf/images_per_second"
# nine figures of this size, in HTML as SVG, are far below 5 MB
MOST_BYTES = 400_000


@pytest.fixture(scope="module")
def trials():
    draw, found = random.Random(0), []
    for number in range(10_000):
        values = {"method.temperature": draw.uniform(0.05, 0.5), "method.queue_size": 64}
        rows = {
            epoch: {"epoch": epoch, SCORE: draw.random() * epoch / 3, SPEED: draw.random()}
            for epoch in (1, 2, 3)
        }
        state = TrialState.PRUNED if number % 3 == 0 else TrialState.COMPLETED
        found.append(TrialRecord(f"t{number:03d}", values, "", 0, state=state, rows=rows))
    return found


def drawings_of(trials):
    objectives = [Objective(metric=SCORE), Objective(metric=SPEED)]
    yield best_curve(trials, objectives[0])
    yield parallel_coordinates(trials, AXES, objectives[0])
    yield search_curves(trials, SCORE)
    yield score_against_speed({"trials": trials}, SCORE, CellStyles(higher=True))
    yield front_chart(trials, trials[1:2], objectives)
    yield from slices(trials, AXES, objectives[0])


def test_each_figure_of_a_long_sweep_is_small_and_says_how_many_trials_it_shows(trials):
    for drawing in drawings_of(trials):
        assert len(drawing.svg) < MOST_BYTES, drawing.name
        assert "Shown are " in drawing.caption, drawing.name
        assert "trials.csv has all" in drawing.caption, drawing.name


def test_the_figures_of_a_short_sweep_show_every_trial_and_need_not_say_so(trials):
    for drawing in drawings_of(trials[:100]):
        assert "Shown are " not in drawing.caption


def test_the_best_trial_is_always_shown():
    assert thinned(range(10_000), 200)[::199] == [0, 9_999]
    assert len(set(thinned(range(201), 200))) == 200


def test_the_front_is_what_comparing_all_with_all_finds():
    draw = random.Random(1)
    for size in (2, 3):
        points = [[draw.randint(0, 9) for _ in range(size)] for _ in range(200)]
        higher = [True, False, True][:size]
        signed = [[v if up else -v for v, up in zip(p, higher, strict=True)] for p in points]
        slow = [
            n
            for n, p in enumerate(signed)
            if not any(o != p and all(a >= b for a, b in zip(o, p, strict=True)) for o in signed)
        ]
        assert undominated(points, higher) == slow
