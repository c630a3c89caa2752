"""A sweep is judged by what the protocols of its run report, and by nothing else."""

import pytest

from raymoco.errors import ConfigError
from raymoco.metrics import TEST_LINEAR
from raymoco.study.sweepfile.image_checks import check_against_images
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.sweepfile.metric_checks import ask_protocols

THEIRS = "tests.unit.engine.somebodys_protocols"
NORM, MEANS = f"{THEIRS}:Norm", f"{THEIRS}:ClassMeans"
SEARCH = "search: {optim.lr: {uniform: [0.1, 0.2]}}\n"
FACTORS = "factors: {lr: {low: {optim.lr: 0.1}, high: {optim.lr: 0.2}}}\n"


def sweep_file(tmp_path, kind, protocols, more="", run=""):
    path = tmp_path / "s.yaml"
    listed = f"eval: {{protocols: {protocols}{run}}}"
    text = f"kind: {kind}\nname: s\nrun: {{preset: digits, epochs: 9, {listed}}}\n"
    path.write_text(text + (SEARCH if kind == "search" else FACTORS) + more)
    return path


@pytest.mark.parametrize(
    ("kind", "protocols", "more"),
    [
        ("search", f"[knn, '{NORM}']", "objective: {metric: eval/norm, mode: min}\n"),
        ("search", f"[knn, '{MEANS}']", "objective: [{metric: eval/class_means_top1}, {}]\n"),
        ("search", "[]", "objective: {metric: eval/alignment}\n"),
        ("ablation", f"['{MEANS}']", "metric: test/class_means_top1\n"),
        ("ablation", f"['{NORM}', linear]", "metric: test/linear_top1\n"),
        ("ablation", "[]", "metric: train/loss\n"),
    ],
)
def test_what_a_listed_protocol_reports_may_judge(tmp_path, kind, protocols, more):
    sweep = load_sweep(sweep_file(tmp_path, kind, protocols, more))
    asked = ask_protocols(sweep)
    again = tmp_path / "sweep.yaml"
    again.write_text(asked.spec.to_yaml())
    assert load_sweep(again).spec == asked.spec


@pytest.mark.parametrize(
    ("kind", "protocols", "more", "words"),
    [
        ("search", "[linear]", "", "no trial reports 'eval/knn_top1'; eval.protocols is linear"),
        ("search", "[]", "", "no trial reports 'eval/knn_top1'; eval.protocols is empty"),
        ("search", "[knn]", "objective: {metric: eval/norm}\n", "s.yaml:5: no trial reports"),
        (
            "search",
            f"['{MEANS}']",
            "objective: {metric: eval/class_means_top1}\nconfirm: {top: 1}\n",
            "no trial reports 'test/knn_top1'",
        ),
        ("search", f"['{NORM}']", "objective: {metric: test/norm}\n", "must not be searched on"),
        ("ablation", "[knn]", "metric: test/linear_top1\n", "s.yaml:5: no trial reports 'test/lin"),
        ("ablation", "[knn]", "metric: test/norm\n", "no trial reports 'test/norm'"),
        (
            "ablation",
            f"['{MEANS}']",
            "metric: test/class_means_top1\ntune: {axes: {optim.momentum: {uniform: [0, 0.5]}}}\n",
            "no trial reports 'eval/knn_top1'",
        ),
        ("ablation", "[knn]", "mode: min\n", "mode is min, but of eval/knn_top1 it is max"),
    ],
)
def test_what_none_of_them_reports_is_refused_as_the_file_is_read(
    tmp_path, kind, protocols, more, words
):
    with pytest.raises(ConfigError, match=words):
        load_sweep(sweep_file(tmp_path, kind, protocols, more))


@pytest.mark.parametrize(
    ("kind", "protocols", "more", "words"),
    [
        ("search", f"['{NORM}']", "objective: {metric: eval/nrm}\n", "no trial reports 'eval/nrm'"),
        (
            "search",
            f"['{NORM}']",
            "objective: {metric: eval/norm}\n",
            "mode: min or max",
        ),
        ("ablation", f"['{NORM}']", "metric: test/knn_top5\n", "There are: .*test/norm, eval/norm"),
        ("ablation", f"['{NORM}']", "metric: test/norm\nmode: max\n", "it is min, as its protocol"),
        ("ablation", "['nowhere.at:X']", "metric: test/norm\n", "there is no module 'nowhere'"),
        ("search", "['nowhere.at:X', knn]", "", "there is no module 'nowhere'"),
    ],
)
def test_somebody_elses_protocol_is_asked_before_the_sweep_starts_and_not_as_it_is_read(
    tmp_path, kind, protocols, more, words
):
    sweep = load_sweep(sweep_file(tmp_path, kind, protocols, more))
    with pytest.raises(ConfigError, match=words):
        ask_protocols(sweep)


def test_the_file_of_a_sweep_says_which_way_somebodys_metric_is_better(tmp_path):
    sweep = load_sweep(sweep_file(tmp_path, "ablation", f"['{NORM}']", "metric: test/norm\n"))
    assert sweep.spec.objective.mode == "max"  # nobody has been asked
    asked = ask_protocols(sweep)
    assert asked.spec.objective.mode == "min"
    assert "mode: min\n" in asked.spec.to_yaml()
    ours = load_sweep(sweep_file(tmp_path, "ablation", "[knn, linear]"))
    assert ask_protocols(ours) is ours
    assert "\nmode:" not in ours.spec.to_yaml()


def test_each_cell_must_report_the_metric(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "kind: ablation\nname: s\nrun: {preset: digits, epochs: 9}\nmetric: test/linear_top1\n"
        "factors: {probe: {long: {eval.linear.epochs: 9}, none: {eval.linear.epochs: 0}}}\n"
    )
    with pytest.raises(
        ConfigError, match=f"the cell 'probe=none': no trial reports '{TEST_LINEAR}'"
    ):
        load_sweep(path)


def test_a_metric_whose_protocol_needs_labels_is_refused_where_no_image_has_one(tmp_path):
    about = {"channels": 1, "train_images": 1000, "classes": 0}
    path = sweep_file(tmp_path, "ablation", f"['{MEANS}', '{NORM}']", "metric: test/norm\n")
    check_against_images(load_sweep(path), **about)
    with pytest.raises(ConfigError, match="none of the images has a label"):
        check_against_images(load_sweep(path, ["metric=test/class_means_top1"]), **about)
