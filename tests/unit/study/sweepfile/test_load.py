import json
import math
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymoco.errors import ConfigError
from raymoco.study.budget import budget_check
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.journal.ranking import pareto_front, ranked
from raymoco.study.sweepfile.axis import Axis, short_name
from raymoco.study.sweepfile.code_checks import check_named_code
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.sweepfile.sections import Budget, Objective

DEMO = Path(__file__).parents[4] / "sweeps" / "demo.yaml"
MINIMAL = "kind: search\nname: s\nrun: {preset: digits, epochs: 9}\nsearch:\n"


def sweep_file(tmp_path, axes, more=""):
    path = tmp_path / "s.yaml"
    path.write_text(MINIMAL + "".join(f"  {line}\n" for line in axes.split("\n")) + more)
    return path


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ("method.temprature: {choice: [0.1]}", "did you mean 'method.temperature'"),
        ("scale.workers: {choice: [1, 2]}", "'scale.workers' is not an axis"),
        ("optim.lr: {loguniform: [0, 1]}", "both must be above 0"),
        ("optim.lr: {uniform: [1, 0.1]}", "the first must be the smaller"),
        ("optim.lr: {choice: [1], uniform: [0, 1]}", "but has uniform and choice"),
        ("optim.lr: {lognormal: [0, 1]}", "unknown key 'search.optim.lr.lognormal'"),
        ("optim.lr: {choice: []}", "must be a list of different values"),
        ("optim.lr: {choice: [fast]}", "optim.lr is 'fast'"),
        ("method.queue_size: {uniform: [1.5, 64]}", "method.queue_size is 1.5"),
        ("method.key_momentum: {uniform: [0.9, 1.1]}", "method.key_momentum is 1.1"),
        ("optim.lr: {loguniform: [0.1, 1], step: 0.1}", "a log-uniform axis has none"),
        ("optim.lr: {uniform: [0.1, 1], step: 0.2}", "from 0.1 to 1 in whole steps"),
        ("method.queue_size: {int: [8, 16], step: 0.5}", "must be a whole number"),
        ("optim.lr: {choice: [1], step: 1}", "a choice names its values"),
        ("optim.lr: {choice: [1, 2], when: {method.los: unicon}}", "mean 'method.loss'"),
        ("optim.lr: {choice: [1, 2], when: {optim.lr: 1}}", "optim.lr needs optim.lr"),
        ("optim.lr: {choice: [1, 2], when: {method.loss: info_nce}}", "it takes unicon"),
        ("optim.lr: {choice: [1, 2], when: {epochs: {above: 2}}}", "a list, or {not: ...}"),
        ("optim.lr: {choice: [fast, 1], when: {epochs: 9}}", "optim.lr is 'fast'"),
    ],
)
def test_an_axis_that_no_run_has_is_refused_with_its_line(tmp_path, axis, words):
    path = sweep_file(tmp_path, axis)
    with pytest.raises(ConfigError) as caught:
        load_sweep(path)
    assert words in str(caught.value)
    assert f"{path}:5" in str(caught.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("objective: {metric: eval/knn_top}\n", "did you mean 'eval/knn_top1'"),
        ("objective: {metric: test/knn_top1}\n", "must not be searched on"),
        ("scheduler: {name: asha, grace_epochs: 9}\n", "nothing would ever be stopped"),
        ("budget: {trails: 3}\n", "did you mean 'budget.trials'"),
        ("confirm: {top: 1, seeds: [1]}\n", "confirm.seeds"),
        ("kind: search\n", "found duplicate key"),
        ("sampler: {name: tep}\n", "must be 'tpe', 'random'"),
        ("sampler: {options: {n_ei_candidate: 9}}\n", "did you mean 'n_ei_candidates'"),
        ("sampler: {options: {popsize: 9}}\n", "it belongs to cmaes"),
        ("sampler: {options: {n_startup_trials: 9}}\n", "set startup_trials instead"),
        ("sampler: {options: {group: true, multivariate: false}}\n", "must not be false"),
        ("sampler: {name: qmc, options: {scramble: maybe}}\n", "options.scramble is 'maybe'"),
        ("sampler: {name: cmaes}\n", "moves numbers only, at least two"),
        ("sampler: {name: grid}\nbudget: {trials: 1}\n", "the grid has 2 points"),
        ("sampler: {name: grid}\nenqueue: [{optim.lr: 0.1}]\n", "there is none to enqueue"),
        ("enqueue: [{optim.l: 0.1}]\n", "s.yaml:6: 'optim.l' is no axis here; did you mean"),
        ("enqueue: [{optim.lr: 0.3}]\n", "optim.lr is 0.3, but its axis is one of 0.1, 0.2"),
        ("enqueue: [{}]\n", "enqueue.0"),
        ("enqueue: [{optim.lr: 0.1}, {optim.lr: 0.2}]\nbudget: {trials: 1}\n", "holds 2 points"),
        (
            "sampler: {name: cmaes, options: {use_separable_cma: true}}\nwarm_start: other\n",
            "with warm_start it must be false",
        ),
        ("sampler: {name: random}\nwarm_start: other\n", "learns from no trial: use tpe"),
        ("objective: []\n", "objective is an empty list"),
        ("objective: [{metric: eval/knn_top1}, {}]\n", "each metric must be there once"),
        ("objective: [{metric: train/loss}, {}]\nbudget: {target: 1}\n", "needs one objective"),
        ("objective: [{metric: train/loss}, {}]\nscheduler: {name: median}\n", "must be none"),
        ("objective: [{metric: train/loss}, {}]\nsampler: {name: cmaes}\n", "knows one objective"),
        ("scheduler: {name: median, grace_epochs: 9}\n", "nothing would ever be stopped"),
        ("repeats: 0\n", "repeats is 0"),
        ("repeats: 2\nscheduler: {name: pbt, every_epochs: 1}\n", "repeats is 2, but must be 1"),
        ("repeats: 3\nconfirm: {seeds: [2, 9]}\n", "confirm.seeds has 2, but repeats trains"),
    ],
)
def test_a_sweep_file_that_cannot_be_meant_is_refused(tmp_path, more, words):
    with pytest.raises(ConfigError, match=words):
        load_sweep(sweep_file(tmp_path, "optim.lr: {choice: [0.1, 0.2]}", more))


def test_what_belongs_to_the_whole_sweep_is_refused_inside_the_run(tmp_path):
    path = sweep_file(tmp_path, "optim.lr: {choice: [0.1]}")
    with pytest.raises(ConfigError, match="set gang instead"):
        load_sweep(path, ["run.scale.workers=2"])


def test_what_the_gang_does_not_say_is_as_the_preset_has_it(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "kind: search\nname: s\nrun: {preset: imagenet_moco_v2, data: {root: /x}}\n"
        "search: {method.temperature: {uniform: [0.1, 0.2]}}\ngang: {workers: 4}\n"
    )
    sweep = load_sweep(path)
    assert sweep.spec.gang.scale == sweep.base.scale
    held = (sweep.base.scale.workers, sweep.base.scale.cpus_per_worker)
    assert (*held, sweep.base.scale.gpus_per_worker) == (4, 2, 1)


def test_overrides_address_the_file_and_an_axis_is_one_key():
    loaded = load_sweep(
        DEMO, ["budget.trials=3", "run.epochs=17", "search.optim.lr={choice: [0.1, 0.3]}"]
    )
    assert (loaded.spec.budget.trials, loaded.base.epochs) == (3, 17)
    assert loaded.spec.search["optim.lr"].choice == [0.1, 0.3]


def test_keys_of_the_file_and_of_its_run_that_want_text_get_it_as_typed(tmp_path):
    file = sweep_file(tmp_path, "method.temperature: {uniform: [0.1, 0.2]}")
    sweep = load_sweep(
        file, ["output=/x/a #b", "name=0123", "run.data.columns.id=!x", "run.seed=7"]
    )
    assert (sweep.spec.output, sweep.spec.name) == ("/x/a #b", "0123")
    assert (sweep.base.data.columns.id, sweep.base.seed) == ("!x", 7)


def test_the_resolved_file_repeats_the_sweep(tmp_path):
    loaded = load_sweep(DEMO, ["budget.trials=3"])
    path = tmp_path / "sweep.yaml"
    path.write_text(loaded.spec.to_yaml())
    assert load_sweep(path) == loaded


@given(low=st.floats(0.001, 1), factor=st.floats(1.01, 1000), number=st.integers(0, 50))
def test_an_or_axis_is_its_value_or_lies_in_its_range(low, factor, number):
    axis = Axis.model_validate({"loguniform": [low, low * factor], "or": 0})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number))
    value = axis.suggest(study.ask(), "w")
    assert value == 0 or low <= value <= low * factor


def test_a_name_says_what_varies():
    values = {"method.temperature": 0.1, "method.queue_size": 256, "method.key_momentum": 0.99}
    assert short_name(values) == "T=0.1 K=256 m=0.99"
    values = {"method.terms.spread.weight": 0.5, "method.terms.spread.margin": 0.1}
    assert short_name(values) == "spread=0.5 spread.margin=0.1"


def test_the_schema_accepts_the_demo_and_refuses_a_typo():
    import jsonschema
    from ruamel.yaml import YAML

    from raymoco.study.sweepfile.schema import sweep_schema

    schema = sweep_schema()
    values = json.loads(json.dumps(YAML(typ="safe").load(DEMO.read_text())))
    jsonschema.validate(values, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "budgte": {}}, schema)


def test_an_axis_with_a_condition_is_checked_where_the_condition_holds(tmp_path):
    # cross_entropy forbids the weight, so the axis has a place only beside another loss
    axes = (
        "method.loss: {choice: [unicon, cross_entropy]}\n"
        "method.cross_consistency.weight: {choice: [1, 2], when: {method.loss: unicon}}"
    )
    path = sweep_file(tmp_path, axes)
    assert load_sweep(path).space.witness("method.cross_consistency.weight") == {
        "method.loss": "unicon"
    }
    with pytest.raises(ConfigError, match="which has no keys"):
        load_sweep(path, ["run.method.loss=cross_entropy", "search.method.loss={choice: [unicon]}",
                          "search.method.cross_consistency.weight={choice: [1, 2]}"])  # fmt: skip


def test_a_grid_that_says_no_budget_has_its_size(tmp_path):
    axes = (
        "optim.lr: {uniform: [0.1, 0.3], step: 0.1}\n"
        "method.loss: {choice: [unicon, info_nce]}\n"
        "method.positives: {choice: [sum, mean], when: {method.loss: unicon}}"
    )
    path = sweep_file(tmp_path, axes, "sampler: {name: grid}\n")
    assert load_sweep(path).spec.budget.trials == 3 * (2 + 1)
    with pytest.raises(ConfigError, match=r"search.optim.lr is continuous"):
        load_sweep(path, ["search.optim.lr={uniform: [0.1, 0.3]}"])


def test_the_front_is_who_nobody_beats_and_its_first_is_best_in_the_first_objective():
    def trial(name, knn, loss, state="completed"):
        rows = {1: {"epoch": 1, "eval/knn_top1": knn, "train/loss": loss}}
        return TrialRecord(name, {}, "", 0, state=state, rows=rows)

    trials = [
        trial("a", 0.5, 1.0), trial("b", 0.9, 3.0), trial("c", 0.9, 2.0), trial("d", 0.4, 1.0),
        trial("e", 0.5, 1.0), trial("f", 0.99, 0.1, state="pruned"), trial("g", 0.7, 1.5),
    ]  # fmt: skip
    objectives = [Objective(), Objective(metric="train/loss", mode="min")]
    assert [t.trial_id for t in pareto_front(trials, objectives)] == ["c", "g", "a", "e"]


def test_a_trial_without_a_finite_score_is_neither_best_nor_on_the_front():
    def trial(name, knn, loss):
        rows = {1: {"epoch": 1, "eval/knn_top1": knn, "train/loss": loss}}
        return TrialRecord(name, {}, "", 0, state="completed", rows=rows)

    trials = [
        trial("a", 0.5, 1.0), trial("nan", math.nan, 2.0), trial("b", 0.9, 3.0),
        trial("inf", 0.95, math.inf), trial("c", 0.7, 2.0),
    ]  # fmt: skip
    loss = Objective(metric="train/loss", mode="min")
    assert [t.trial_id for t in ranked(trials, Objective())] == ["inf", "b", "c", "a"]
    assert [t.trial_id for t in ranked(trials, loss)] == ["a", "nan", "c", "b"]
    assert [t.trial_id for t in pareto_front(trials, [Objective(), loss])] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("more", "good"),
    [
        ({"objective": {"metric": "train/loss", "mode": "min"}}, True),
        ({"objective": [{"metric": "train/loss"}, {"metric": "eval/knn_top1"}]}, True),
        ({"objective": []}, False),
        ({"sampler": {"name": "qmc", "options": {"scramble": True}}}, True),
        ({"sampler": {"name": "qmc", "options": {"popsize": 4}}}, False),
        ({"sampler": {"options": {"popsize": 4}}}, False),
        ({"sampler": {"options": {"group": True}}}, True),
        ({"scheduler": {"name": "pbt", "every_epochs": 2}}, True),
        ({"scheduler": {"name": "pbt", "quantile": 0.7}}, False),
        ({"enqueue": [{"optim.lr": 1}], "warm_start": "other"}, True),
        ({"enqueue": [{}]}, False),
    ],
)
def test_the_schema_knows_what_a_search_may_say(more, good):
    import jsonschema

    from raymoco.study.sweepfile.schema import sweep_schema

    values = {"kind": "search", "name": "s", "search": {"optim.lr": {"choice": [1, 2]}}, **more}
    errors = list(jsonschema.Draft202012Validator(sweep_schema()).iter_errors(values))
    assert bool(errors) != good


@pytest.mark.parametrize(
    ("level", "good"), [("a", True), (64, True), (True, True), (None, True), (["a"], False)]
)
def test_the_schema_knows_that_a_baseline_may_look_like_a_number(level, good):
    import jsonschema

    from raymoco.study.sweepfile.schema import sweep_schema

    factors = {"f": {"a": {"optim.lr": 0.1}, "64": {"optim.lr": 0.2}}}
    values = {"kind": "ablation", "name": "a", "factors": factors, "baseline": {"f": level}}
    errors = list(jsonschema.Draft202012Validator(sweep_schema()).iter_errors(values))
    assert bool(errors) != good


@pytest.mark.parametrize(
    ("objective", "reached"),
    [(Objective(), 0.9), (Objective(metric="train/loss", mode="min"), 0.3)],
)
def test_a_search_has_had_enough_at_its_target_or_after_its_hours(objective, reached):
    ledger, now = Ledger(), [100.0]
    budget = Budget(hours=0.5, target=reached)
    enough = budget_check(budget, objective, ledger, clock=lambda: now[0])

    def end(name, score, state, cell=""):
        row = {"epoch": 1, objective.metric: score}
        ledger.trials[name] = TrialRecord(name, {}, cell, 0, state=state, rows={1: row})

    end("far", 0.6, "completed")
    end("pruned", reached, "pruned")
    end("confirms", reached, "completed", cell="t001")
    assert enough() is None
    now[0] += 1799
    assert enough() is None
    now[0] += 2
    assert enough() == "the budget of 0.5 hours is used up"
    now[0] = 100
    end("there", reached, "completed")
    assert enough() == f"the target {reached} is reached"
    assert budget_check(Budget(), objective, ledger)() is None


SPREAD = 'method: {terms: {spread: {use: "tests.somebodys:Spread", weight: 0, margin: 0}}}'


def own_file(tmp_path, axes, more="", use="tests.somebodys:Spread"):
    path = sweep_file(tmp_path, axes, more)
    text = path.read_text().replace("epochs: 9}", f"epochs: 9, {SPREAD}}}")
    path.write_text(text.replace("tests.somebodys:Spread", use))
    return path


def test_the_weight_and_the_options_of_a_term_of_the_run_are_axes(tmp_path):
    axes = (
        "method.terms.spread.weight: {loguniform: [0.1, 1], or: 0}\n"
        "method.terms.spread.margin: "
        "{uniform: [0, 0.5], when: {method.terms.spread.weight: {not: 0}}}"
    )
    sweep = load_sweep(own_file(tmp_path, axes))
    assert sweep.space.params(sweep.base.flat()) == {"method.terms.spread.weight:on": False}
    path = own_file(tmp_path, "method.terms.sprad.weight: {choice: [1]}")
    with pytest.raises(ConfigError, match=r"not an axis; did you mean 'method.terms.spread.weight"):
        load_sweep(path)
    with pytest.raises(ConfigError, match=r"method.terms.spread.weight is -1"):
        load_sweep(own_file(tmp_path, "method.terms.spread.weight: {choice: [-1]}"))


def test_a_population_moves_the_weight_of_a_term(tmp_path):
    pbt = "scheduler: {name: pbt, every_epochs: 2}\n"
    load_sweep(own_file(tmp_path, "method.terms.spread.weight: {uniform: [0, 1]}", pbt))
    with pytest.raises(ConfigError, match=r"cannot change method.terms.spread.margin"):
        load_sweep(own_file(tmp_path, "method.terms.spread.margin: {uniform: [0, 1]}", pbt))


def test_a_search_chooses_among_names_and_not_among_mappings(tmp_path):
    load_sweep(sweep_file(tmp_path, 'method.loss: {choice: [unicon, "nowhere.at_all:X"]}'))
    path = sweep_file(tmp_path, 'method.loss: {choice: [unicon, {name: "a:B", margin: 1}]}')
    with pytest.raises(ConfigError, match="must hold words and numbers only"):
        load_sweep(path)


def test_a_condition_asks_for_a_name_whatever_its_options(tmp_path):
    axes = (
        'method.loss.shift: {choice: [0, 1], when: {method.loss: "tests.somebodys:Contrast"}}\n'
        "optim.lr: {choice: [0.1, 0.2], when: {method.loss: {not: unicon}}}"
    )
    path = sweep_file(tmp_path, axes)
    loss = '{name: "tests.somebodys:Contrast", shift: 1}'
    sweep = load_sweep(path, [f"run.method.loss={loss}"])
    assert sweep.space.holds("optim.lr", {})


def test_reading_a_file_imports_nobodys_code_and_checking_it_names_the_axis(tmp_path):
    path = sweep_file(tmp_path, 'method.loss: {choice: [unicon, "nowhere.at_all:X"]}')
    sweep = load_sweep(path)
    with pytest.raises(ConfigError, match=r"search.method.loss: method.loss is 'nowhere"):
        check_named_code(sweep)
    with pytest.raises(ConfigError, match=r"run: method.terms.spread is 'tests.somebodys:NoSuch'"):
        check_named_code(load_sweep(own_file(tmp_path, "epochs: {choice: [9]}",
                                             use="tests.somebodys:NoSuch")))  # fmt: skip
    check_named_code(load_sweep(own_file(tmp_path, "epochs: {choice: [9]}")))


def test_a_cell_may_hold_a_loss_with_options_and_is_named_where_it_is_wrong(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "kind: ablation\nname: a\nrun: {preset: digits}\nfactors:\n  loss:\n    a: {}\n"
        '    b: {method.loss: {name: "tests.somebodys:Contrast", shift: 0.5}}\n'
        '    c: {method.loss: {name: "tests.somebodys:Contrast", shift: -1}}\n'
    )
    sweep = load_sweep(path)
    with pytest.raises(ConfigError, match=r"the cell 'loss=c': method.loss.shift is -1"):
        check_named_code(sweep)


@pytest.mark.parametrize(
    ("run", "good"),
    [
        ({"preset": "digits", "epochs": 3}, True),
        ({"method": {"loss": "unicon"}}, True),
        ({"method": {"loss": "mylab.losses:X"}}, True),
        ({"method": {"loss": {"name": "mylab.losses:X", "margin": 1}}}, True),
        ({"method": {"loss": "unicorn"}}, False),
        ({"method": {"terms": {"a": {"use": "x:Y", "weight": 1, "margin": 3}}}}, True),
        ({"method": {"terms": {"a": {"use": "x:Y", "weight": -1}}}}, False),
        ({"method": {"terms": {"a": {"use": "cross_consistency", "weight": 1}}}}, True),
        ({"method": {"terms": {"a": {"use": "cross_consistence", "weight": 1}}}}, False),
        ({"model": {"backbone": "resnet18"}}, True),
        ({"model": {"backbone": "mylab.nets:tiny"}}, True),
        ({"model": {"backbone": 18}}, False),
        ({"scale": {"workers": 2}}, False),
    ],
)
def test_the_schema_of_a_sweep_knows_its_run(run, good):
    import jsonschema

    from raymoco.study.sweepfile.schema import sweep_schema

    values = {"kind": "search", "name": "s", "search": {"epochs": {"choice": [1]}}, "run": run}
    errors = list(jsonschema.Draft202012Validator(sweep_schema()).iter_errors(values))
    assert bool(errors) != good


def test_cells_that_somebodys_loss_cannot_tell_apart_are_refused_once_it_is_looked_at(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "kind: ablation\nname: a\n"
        'run: {preset: digits, method: {loss: "tests.somebodys:Cosine"}}\n'
        "factors:\n  labels:\n"
        "    few: {data.labelled_fraction: 0.1}\n    all: {data.labelled_fraction: 1}\n"
    )
    sweep = load_sweep(path)
    with pytest.raises(ConfigError, match=r"'labels=few' and 'labels=all' coincide"):
        check_named_code(sweep)
    check_named_code(load_sweep(path, ["run.method.loss=tests.somebodys:Probe"]))


def test_the_parameters_of_views_are_axes_and_levels(tmp_path):
    axes = (
        "data.views.crop_scale: {choice: [[0.2, 1], [0.6, 1]]}\ndata.views.blur: {uniform: [0, 1]}"
    )
    sweep = load_sweep(sweep_file(tmp_path, axes))
    assert sweep.space.params({"data.views.crop_scale": [0.6, 1.0]}) is not None
    assert sweep.axes == ["data.views.crop_scale", "data.views.blur"]
    with pytest.raises(ConfigError, match=r"data.views.crop_scale is \[2, 3\], but must be"):
        load_sweep(sweep_file(tmp_path, "data.views.crop_scale: {choice: [[0.2, 1], [2, 3]]}"))
    with pytest.raises(ConfigError, match=r"data.views.crop.* did you mean 'data.views.crop_scale"):
        load_sweep(sweep_file(tmp_path, "data.views.crop_scal: {choice: [[0.2, 1]]}"))


def test_cells_whose_views_are_drawn_alike_are_refused(tmp_path):
    path = tmp_path / "a.yaml"
    text = "kind: ablation\nname: a\nrun: {preset: digits, data: {views: glyph}}\nfactors:\n"

    def load(level):
        path.write_text(f"{text}  flip: {{off: {{}}, on: {{data.views.flip: {level}}}}}\n")
        return load_sweep(path)

    assert len(load(0.5).ablation.cells) == 2
    with pytest.raises(ConfigError, match=r"flip=on.* train|coincide"):
        load(0)  # glyph's own value
