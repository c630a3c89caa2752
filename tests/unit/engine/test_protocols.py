"""What judges a run: ours and somebody else's, by the same road."""

import pytest

from raymoco import evaluate
from raymoco.choices import PROTOCOLS
from raymoco.config import EvalConfig, RunConfig
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.checkpoint import find_checkpoint
from raymoco.engine.metrics_csv import MetricsFile, read_metrics
from raymoco.engine.protocols.judge import build_protocols
from raymoco.engine.protocols.protocol import LABELS
from raymoco.engine.protocols.reported import reported_metrics, require_reported
from raymoco.engine.resolve import resolve
from raymoco.engine.train import train
from raymoco.errors import ConfigError, DataError
from raymoco.metrics import LISTED, computed_by, describe
from raymoco.testing import check_protocol
from tests.unit.engine.test_loop import BASE, run, untimed, weights

THEIRS = "tests.unit.engine.somebodys_protocols"
MEANS, NORM, DRAWS, KEEPS = (
    f"{THEIRS}:{name}" for name in ("ClassMeans", "Norm", "Draws", "Keeps")
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return load_images(BASE.data, ensure_shards(BASE.data, tmp_path_factory.mktemp("runs")))


def judged_by(protocols, images, **values):
    config = BASE.with_values({"eval.protocols": protocols, **values})
    return resolve(config, channels=1, train_images=images.rows("train"))


@pytest.mark.parametrize(
    ("name", "options"),
    [("knn", {}), ("knn", {"k": 3}), ("linear", {}), ("collapse", {}), (MEANS, {"power": 2.0}),
     (KEEPS, {}), (NORM, {}), (DRAWS, {})],
)  # fmt: skip
def test_a_protocol_keeps_its_suite(name, options):
    check_protocol(name, **options)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Unmeasured", r"it is no evaluation protocol: it has no measure\(\)"),
        ("Gone", "has no 'Gone'"),
        ("Other", "returned norm for the eval split, but its metrics there are other"),
        ("Peeks", "1.0 where classes lie far apart and 1.0 where labels are shuffled"),
        ("Spoils", "changes the features or labels"),
        ("Wide", "eval/norm is 1.5 where classes lie far apart, but is a share, 0 to 1"),
        ("Forgets", "is nan where no image has a label"),
        ("Backwards", "but higher is better"),
        ("Moody", "gives other values for equal seeds"),
        ("KeepsFewer", r"keeps predictions of 'class_means_top1', but their shape is \(399,\)"),
        ("KeepsOthers", "go from 0 to 8, and classes from 0 to 7"),
    ],
)
def test_the_suite_says_in_a_sentence_what_a_protocol_does_wrong(name, words):
    with pytest.raises(AssertionError, match=words):
        check_protocol(f"{THEIRS}:{name}")


def test_our_protocols_report_what_the_list_of_metrics_says_they_do():
    built = build_protocols(EvalConfig())
    assert list(built) == ["knn", "linear", "collapse"]
    for name, protocol in built.items():
        assert protocol.metrics == computed_by(PROTOCOLS.choices[name].path), name
        for metric in protocol.metrics:
            assert LISTED[metric.name] is metric
            assert metric.needs_labels == (LABELS in protocol.needs), metric.name


def test_a_protocol_from_outside_reports_into_the_rows_and_changes_no_other_number(
    images, tmp_path
):
    plain = run(judged_by(["knn", "linear"], images), images, tmp_path / "plain")
    config = judged_by(["knn", "linear", {"name": MEANS, "power": 2}, DRAWS], images)
    rows = run(config, images, tmp_path / "theirs")
    theirs = {"eval/class_means_top1", "test/class_means_top1", "eval/draws"}
    assert [theirs & set(row) for row in rows.values()] == [
        {"eval/class_means_top1", "eval/draws"}, {"eval/class_means_top1", "eval/draws"}, theirs,
    ]  # fmt: skip
    assert 0.2 < rows[3]["test/class_means_top1"] <= 1
    rest = {e: {k: v for k, v in row.items() if k not in theirs} for e, row in rows.items()}
    assert untimed(rest) == untimed(plain)
    ours, others = weights(tmp_path / "plain"), weights(tmp_path / "theirs")
    assert all((ours[name] == others[name]).all() for name in ours)


def test_its_metric_is_a_column_of_metrics_csv_and_judge_again_gives_the_same(tmp_path):
    config = BASE.with_values(
        {"eval.protocols": ["knn", MEANS], "output": str(tmp_path), "name": "one"}
    )
    images = load_images(config.data, ensure_shards(config.data, tmp_path))
    config = resolve(config, channels=1, train_images=images.rows("train"))
    rows = run(config, images, tmp_path / "one" / "checkpoints")
    file = MetricsFile(tmp_path / "metrics.csv")
    for row in rows.values():
        file.add(row)
    assert read_metrics(tmp_path / "metrics.csv")[-1]["test/class_means_top1"] >= 0
    again = evaluate(find_checkpoint(tmp_path / "one"))
    assert set(again) == {"test/knn_top1", "test/class_means_top1"}
    for name, value in again.items():
        assert value == pytest.approx(rows[3][name], abs=1e-6)


def test_only_what_is_listed_is_measured_and_collapse_always(images, tmp_path):
    row = run(judged_by([], images, epochs=1), images, tmp_path / "none")[1]
    measured = {name for name in row if name.startswith(("eval/", "test/"))}
    assert measured == {"eval/alignment", "eval/uniformity", "eval/effective_rank"}
    row = run(judged_by([NORM], images, epochs=1), images, tmp_path / "norm")[1]
    assert {"eval/norm", "test/norm"} <= set(row)


@pytest.mark.parametrize(
    ("protocols", "words"),
    [
        (["nowhere.at_all:X"], "no module 'nowhere'"),
        ([f"{THEIRS}:Unmeasured"], r"no evaluation protocol: it has no measure\(\)"),
        ([{"name": MEANS, "powr": 2}], "powr: .* did you mean 'power'"),
        ([{"name": MEANS, "power": -1}], "eval.protocols.power is -1, but must be greater than 0"),
        ([{"name": NORM, "power": 2}], "Norm has no options"),
        ([{"name": "knn", "k": 5}], "what knn takes stands at eval.knn"),
        ([f"{THEIRS}:Ours"], "eval/knn_top1 is one of raymoco's own"),
        ([f"{THEIRS}:Training"], "'train/loss' must be named eval/NAME or test/NAME"),
        ([f"{THEIRS}:Needy"], "must be a tuple of train, labels, views"),
        ([f"{THEIRS}:Broken"], "building it fails: RuntimeError: no license"),
        ([NORM, f"{THEIRS}:Moody"], "both report test/norm: leave one out"),
    ],
)
def test_a_wrong_protocol_is_refused_before_anything_starts(tmp_path, protocols, words):
    import ray

    config = BASE.with_values({"eval.protocols": protocols, "output": str(tmp_path / "runs")})
    with pytest.raises(ConfigError, match=words) as refused:
        train(config)
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "runs").exists()
    assert not ray.is_initialized()


@pytest.mark.parametrize(
    ("protocols", "words"),
    [
        (["kn"], "did you mean 'knn'"),
        ([{"power": 2}], "needs a name"),
        (["knn", "knn"], "knn is there twice"),
        ([3], "3 is no name of a protocol, and no mapping with one"),
        ("knn", "valid list"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused_as_it_is_read(protocols, words):
    with pytest.raises(ConfigError, match=words):
        RunConfig().with_values({"eval.protocols": protocols})


def test_a_run_keeps_its_name_where_the_list_is_as_in_version_0_1(images):
    plain = RunConfig()
    assert plain.digest() == "08bda9f7"
    same = plain.with_values({"eval.protocols": ["knn", {"name": "linear"}, "collapse"]})
    assert same == plain
    assert plain.with_values({"eval.protocols": ["knn"]}).digest() != plain.digest()
    config = judged_by(["knn", MEANS], images)
    assert config.eval.protocols == ["knn", {"name": MEANS, "power": 1.0}]
    assert judged_by(config.eval.protocols, images).eval == config.eval


def test_a_split_without_a_label_is_named(images, tmp_path):
    config = judged_by(
        ["knn"], images, **{"eval.labels": "visible", "data.labelled_fraction": 1e-9}
    )
    with pytest.raises(DataError, match="the train split has no labeled image"):
        run(config, images, tmp_path)


def test_a_config_reports_what_its_protocols_report():
    def reported(protocols, imports=True, **values):
        config = RunConfig().with_values({"eval.protocols": protocols, **values})
        return set(reported_metrics(config, imports=imports))

    named = ["knn", "linear", "logreg", "fewshot", "retrieval"]
    assert reported(named) == {name for name, metric in LISTED.items() if metric.decides}
    every = reported(["knn", "linear"])
    assert reported(["linear"]) == every - {"eval/knn_top1", "test/knn_top1"}
    no_linear = {name for name in every if "linear" not in name}
    assert reported(["knn", "linear"], **{"eval.linear.epochs": 0}) == no_linear
    assert reported(["knn", NORM]) == no_linear | {"eval/norm", "test/norm"}
    assert reported(["knn", NORM], imports=False) == no_linear
    assert describe("test/norm").label == "norm on test"


def test_a_metric_that_no_protocol_reports_is_refused_with_the_reason():
    config = RunConfig().with_values({"eval.protocols": ["knn", NORM]})
    for metric in ("eval/knn_top1", "eval/norm", "test/norm"):
        require_reported(metric, config, imports=True)
    require_reported("eval/unheard", config, imports=False)  # their code is not asked
    with pytest.raises(ConfigError, match=r"no trial reports 'eval/unheard'; eval.protocols is kn"):
        require_reported("eval/unheard", config, imports=True)
    with pytest.raises(ConfigError, match=r"'test/linear_top1'; eval.protocols is knn, tests"):
        require_reported("test/linear_top1", config, imports=False)
    with pytest.raises(ConfigError, match=r"did you mean 'eval/knn_top1'\? There are: eval/knn"):
        require_reported("eval/knn_top", RunConfig(), imports=False)
