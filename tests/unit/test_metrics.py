"""Every metric stands once: one entry reaches all that show, name or judge by metrics."""

import ast
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import ValidationError

import raymoco
from raymoco import metrics
from raymoco.config import RunConfig
from raymoco.engine.protocols.reported import require_reported
from raymoco.errors import ConfigError
from raymoco.metrics import FAMILIES, LISTED, Metric, describe, metrics_table
from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.report.labels import metric_label, metric_name, score_word
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.sections import Objective
from raymoco.study.terminal.tables import best_table
from raymoco.tracking.shared_view import comparison_view

PACKAGE = Path(raymoco.__file__).parent
NEW = Metric(
    "eval/spread", "spread on eval", "degrees", "lower", "raymoco.engine.probes", "eval spread",
    decides=True, in_tables=True,
)  # fmt: skip


def ablation(metric):
    factors = {"T": {"low": {"method.temperature": 0.1}, "high": {"method.temperature": 0.2}}}
    return AblationSpec(kind="ablation", name="a", factors=factors, metric=metric)


def columns(table):
    return [str(column.header) for column in table.columns]


def test_one_entry_is_enough_for_a_new_metric(monkeypatch):
    with pytest.raises(ConfigError, match="no trial reports 'eval/spread'"):
        require_reported(NEW.name, RunConfig(), imports=True)
    monkeypatch.setitem(LISTED, NEW.name, NEW)

    assert Objective(metric=NEW.name).metric == NEW.name
    require_reported(NEW.name, RunConfig(), imports=True)
    with pytest.raises(ConfigError, match=r"did you mean 'eval/spread'\?.*There are: .*spread"):
        require_reported("eval/spred", RunConfig(), imports=True)
    with pytest.raises(ValidationError, match=r"did you mean 'train/loss'\?.*There are: .*spread"):
        Objective(metric="train/los")
    assert ablation(NEW.name).objective.mode == "min"

    assert metric_name(NEW.name) == "spread on eval"
    assert metric_label(NEW.name) == "spread on eval (degrees)"
    assert score_word(NEW.name) == "Score"

    trial = TrialRecord("t000", {}, "", 0, rows={1: {"epoch": 1, NEW.name: 12.5}})
    table = best_table([trial], [Objective()], [])
    assert columns(table) == ["trial", "eval kNN", "test kNN", "test linear", "eval spread"]
    assert list(table.columns[-1].cells) == ["12.5000"]
    state = comparison_view("s", metrics.EVAL_KNN, "max", [], "id")["state"]
    assert f"metrics.`{NEW.name}`" in state["selectedColumns"]

    row = "| `eval/spread` | spread on eval | degrees | lower | eval | search, ablation |"
    assert row in metrics_table()


def test_a_metric_of_the_test_split_judges_an_ablation_and_is_never_searched_on(monkeypatch):
    late = Metric("test/spread", "spread on test", decides=True)
    monkeypatch.setitem(LISTED, late.name, late)
    with pytest.raises(ValidationError, match="must not be searched on"):
        Objective(metric=late.name)
    spec = ablation(late.name)
    assert (spec.objective.metric, spec.objective.mode) == (late.name, "max")
    assert spec.tuned_on.metric == metrics.EVAL_KNN


def test_what_decides_has_a_better_way_and_a_name_that_says_its_split():
    for name, metric in LISTED.items():
        assert name == metric.name
        assert metrics.is_metric(name)
        assert metric.better or not metric.decides, name
        assert metric.split or name.startswith("perf/"), name
        assert metric.label != name
    assert len({metric.label for metric in LISTED.values()}) == len(LISTED)


@pytest.mark.parametrize("computed", sorted({m.computed for m in (*LISTED.values(), *FAMILIES)}))
def test_what_is_said_to_compute_a_metric_exists(computed):
    module, _, name = computed.partition(":")
    found = import_module(module)
    assert not name or hasattr(found, name)


@pytest.mark.parametrize(
    ("name", "label", "unit", "better", "split"),
    [
        ("train/cross_consistency", "training cross consistency", "", "lower", "train"),
        ("train/my_own_term", "training my own term", "", "lower", "train"),
        ("train/lr", "learning rate of the last step", "", "", "train"),
        ("changes/optim.lr", "optim.lr of the epoch", "", "", ""),
        ("sweep/completed", "completed trials", "", "", ""),
        ("best/eval/knn_top1", "best kNN accuracy on eval so far", "fraction", "higher", ""),
        ("best/train/loss", "best training loss so far", "nats", "lower", ""),
        ("eval/later_top1", "later top1 on eval", "fraction", "higher", "eval"),
        ("test/later", "later on test", "", "higher", "test"),
        ("unheard", "unheard", "", "higher", ""),
    ],
)
def test_a_name_that_nobody_listed_has_a_rule(name, label, unit, better, split):
    metric = describe(name)
    assert (metric.name, metric.label, metric.unit) == (name, label, unit)
    assert (metric.better, metric.split) == (better, split)
    assert name in LISTED or not metric.decides


def test_a_third_partys_loss_term_is_reported_and_nothing_is_judged_by_it():
    assert metrics.is_known("train/my_own_term")
    with pytest.raises(ValidationError, match="no trial reports 'train/my_own_term'"):
        ablation("train/my_own_term")


def said_in(path):
    """The strings of a module's code: its docstrings are for people."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    first = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and node.body]
    docs = {id(one.value) for one in first if isinstance(one, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]


def test_no_other_module_spells_a_metric():
    """A name that is spelled twice is changed in one place and forgotten in the other."""
    names = [*LISTED, "train/cross_consistency", "train/negative_uniformity", "sweep/", "best/"]
    spelled = [
        f"{path.relative_to(PACKAGE)}: {text[:60]!r}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "metrics.py"
        for text in said_in(path)
        if any(name in text for name in names)
    ]
    assert not spelled


def test_a_table_of_trials_shows_what_another_protocol_measured_on_test():
    rows = {1: {"epoch": 1, "test/class_means_top1": 0.25, "eval/class_means_top1": 0.5}}
    table = best_table([TrialRecord("t000", {}, "", 0, rows=rows)], [Objective()], [])
    assert columns(table)[-1] == "test/class_means_top1"
    assert list(table.columns[-1].cells) == ["0.2500"]
    assert metrics.with_results("test/x", reported=["test/y", "eval/z", "epoch"])[-1] == "test/y"
