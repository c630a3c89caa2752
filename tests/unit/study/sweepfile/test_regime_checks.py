"""Values of a sweep with which a run would be too short for its key encoder or its queue."""

import pytest

from raymoco.engine.regime import TrainImages
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.sweepfile.regime_checks import sweep_regime_warning

DIGITS = TrainImages(1280, (128.0,) * 10)
# 300 steps; every key that decides is written out, so that another preset changes no number
RUN = "run: {epochs: 15, optim: {batch_size: 64}, method: {key_momentum: 0.99, queue_size: 256}}\n"
SEARCH = (
    "kind: search\nname: s\n"
    + RUN
    + """\
search:
  method.temperature: {loguniform: [0.05, 0.5]}
  method.key_momentum: {choice: [0.9, 0.99, 0.996, 0.999]}
"""
)
ABLATION = (
    "kind: ablation\nname: s\n"
    + RUN
    + """\
factors:
  momentum:
    m=0.9:   {method.key_momentum: 0.9}
    m=0.999: {method.key_momentum: 0.999}
  batch:
    B=64: {optim.batch_size: 64}
    B=16: {optim.batch_size: 16}
"""
)


def warned(folder, text, *overrides):
    (folder / "s.yaml").write_text(text)
    return sweep_regime_warning(load_sweep(folder / "s.yaml", overrides), DIGITS)


def test_an_axis_is_warned_of_with_the_values_that_leave_too_much(tmp_path):
    assert warned(tmp_path, SEARCH) == (
        "method.key_momentum 0.996, 0.999: 0.3 and 0.74 of the key encoder's first weights are "
        "left after 300 steps (for the worst of them, with epochs=150 it would be 0.05)."
    )
    assert warned(tmp_path, SEARCH.replace(", 0.996, 0.999", "")) is None


def test_an_axis_that_does_not_touch_it_is_not_named_where_the_run_itself_is_too_short(tmp_path):
    said = warned(tmp_path, SEARCH, "run.epochs=5")
    assert said == (
        "the run as it stands: 0.37 of the key encoder's first weights are left after 100 steps; "
        "method.key_momentum 0.99, 0.996, 0.999: 0.37, 0.67 and 0.9 of the key encoder's first "
        "weights are left after 100 steps (for the run as it stands, with optim.batch_size=16 it "
        "would be 0.018, with epochs=15 0.049)."
    )
    assert "temperature" not in said


def test_a_point_that_is_tried_first_is_judged_as_a_whole(tmp_path):
    enqueue = "enqueue: [{optim.batch_size: 256, method.temperature: 0.1}]\n"
    text = SEARCH.replace("{choice: [0.9, 0.99, 0.996, 0.999]}", "{choice: [0.9, 0.99]}")
    text = text.replace("search:\n", "search:\n  optim.batch_size: {choice: [64, 256]}\n")
    said = warned(tmp_path, text + enqueue)
    assert said == (
        "optim.batch_size 256: 0.47 of the key encoder's first weights are left after 75 steps; "
        "enqueue.0: 0.47 of the key encoder's first weights are left after 75 steps (with "
        "epochs=60 it would be 0.049)."
    )


def test_a_baseline_of_the_confirmation_is_judged_as_a_whole(tmp_path):
    against = "{slow: {method.key_momentum: 0.996}, supervised: {method.loss: cross_entropy}}"
    text = SEARCH.replace(", 0.996, 0.999", "") + f"confirm: {{against: {against}}}\n"
    assert warned(tmp_path, text) == (
        "confirm.against.slow: 0.3 of the key encoder's first weights are left after 300 steps "
        "(with optim.batch_size=16 it would be 0.0082, with epochs=38 0.048)."
    )


def test_the_end_of_a_range_is_judged(tmp_path):
    ranged = SEARCH.replace("{choice: [0.9, 0.99, 0.996, 0.999]}", "{uniform: [0.9, 0.999]}")
    assert "method.key_momentum 0.999: 0.74 of" in warned(tmp_path, ranged)


def test_the_cells_of_an_ablation_are_judged_as_combinations(tmp_path):
    # 0.999 to the 300 and to the 1,200
    assert warned(tmp_path, ABLATION) == (
        "the cells momentum=m=0.999 batch=B=64, momentum=m=0.999 batch=B=16: 0.74 and 0.3 of the "
        "key encoder's first weights are left after 300 and 1,200 steps (for the worst of them, "
        "with epochs=150 it would be 0.05)."
    )
    every = warned(tmp_path, ABLATION.replace("0.9}", "0.998}"))
    assert every.startswith("every cell: 0.55, 0.091, 0.74 and 0.3 of the key encoder's")


@pytest.mark.parametrize("momentum", [0.9, 0.999])
def test_an_axis_that_tunes_the_cells_is_judged_too(tmp_path, momentum):
    tune = f"tune: {{trials: 2, axes: {{method.key_momentum: {{choice: [0.5, {momentum}]}}}}}}\n"
    factors = "factors: {loss: {a: {method.loss: info_nce}, b: {method.loss: unicon}}}\n"
    said = warned(tmp_path, f"kind: ablation\nname: s\n{RUN}{factors}{tune}")
    if momentum == 0.9:
        assert said is None
    else:
        assert said.startswith("tune.axes.method.key_momentum 0.999: 0.74 of")


def test_a_value_that_the_images_cannot_serve_is_left_to_the_other_checks(tmp_path):
    text = SEARCH.replace(
        "method.temperature: {loguniform: [0.05, 0.5]}", "data.mix: {choice: [natural, '1:1']}"
    )
    said = warned(tmp_path, text, "run.data.labelled_fraction=0")
    assert said.startswith("method.key_momentum 0.996, 0.999")
