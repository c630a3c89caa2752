"""Nuisance axes inside the cells of an ablation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import qmc

from raymoco.errors import ConfigError
from raymoco.study.journal.events import Ended, Proposed, Reported, TrialState
from raymoco.study.journal.folder import open_folder
from raymoco.study.journal.ledger import Ledger
from raymoco.study.proposals.cell_tuning import tuned_values, tuning_points
from raymoco.study.proposals.remaining import open_trials
from raymoco.study.sweepfile.axis import Axis, setting_count
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.sweepfile.sections import Tune

FILE = """\
kind: ablation
name: tuned
run: {preset: digits, optim: {lr: 0.06}, method: {temperature: 0.1}}
factors:
  loss:
    unicon:   {method.loss: unicon}
    info_nce: {method.loss: info_nce}
tune:
  axes:
    optim.lr:           {loguniform: [0.01, 0.3]}
    method.temperature: {choice: [0.1, 0.2]}
  trials: 3
seeds: [0, 1]
metric: test/knn_top1
"""


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "a.yaml").write_text(FILE)
    return load_sweep(tmp_path / "a.yaml")


def run_all(ledger, proposals, score):
    for p in proposals:
        start = {"values": p.values, "cell": p.cell, "seed": p.seed, "phase": p.phase}
        row = {"epoch": 1, "eval/knn_top1": score(p), "test/knn_top1": 0.5}
        ledger.apply(Proposed(trial_id=p.trial_id, **start))
        ledger.apply(Reported(trial_id=p.trial_id, row=row, checkpoint=None))
        ledger.apply(Ended(trial_id=p.trial_id, state=TrialState.COMPLETED, reason=""))


def test_every_cell_tries_the_same_settings_and_the_runs_own_first(sweep, tmp_path):
    proposals = open_trials(sweep, tmp_path, Ledger())
    assert len(proposals) == 2 * 3
    assert {p.phase for p in proposals} == {"tune"}
    assert {p.seed for p in proposals} == {1000}
    settings = {}
    for p in proposals:
        tuned = tuple(p.values[key] for key in ("optim.lr", "method.temperature"))
        settings.setdefault(p.cell, []).append(tuned)
    one, two = settings.values()
    assert one == two
    assert one[0] == (0.06, 0.1)
    assert len(set(one)) == 3
    assert sweep.spec.trials == 2 * (3 + 2)
    again = open_trials(sweep, tmp_path, Ledger())
    assert [p.values for p in again] == [p.values for p in proposals]


def test_a_cell_is_compared_at_the_best_that_its_own_tuning_found(sweep, tmp_path):
    ledger = Ledger()
    tuning = open_trials(sweep, tmp_path, ledger)
    best = {p.cell: p for p in tuning[2:4]}

    run_all(ledger, tuning, lambda p: 0.9 if p.trial_id == best[p.cell].trial_id else 0.8)
    compared = open_trials(sweep, tmp_path, ledger)
    assert len(compared) == 4
    for p in compared:
        assert p.phase == ""
        assert p.values == best[p.cell].values
    run_all(ledger, compared, lambda p: 0.99)
    assert open_trials(sweep, tmp_path, ledger) == []
    assert (
        tuned_values(sweep.spec, ledger)[tuning[0].cell]["optim.lr"]
        == (best[tuning[0].cell].values["optim.lr"])
    )


def test_of_equal_scores_the_runs_own_setting_wins(sweep, tmp_path):
    ledger = Ledger()
    run_all(ledger, open_trials(sweep, tmp_path, ledger), lambda p: 0.8)
    for values in tuned_values(sweep.spec, ledger).values():
        assert values == {"optim.lr": 0.06, "method.temperature": 0.1}


def test_a_cell_without_a_completed_tuning_trial_is_left_out(sweep, tmp_path):
    ledger = Ledger()
    tuning = open_trials(sweep, tmp_path, ledger)
    lost = tuning[0].cell
    run_all(ledger, tuning, lambda p: float("nan") if p.cell == lost else 0.8)
    assert tuned_values(sweep.spec, ledger)[lost] is None
    assert {p.cell for p in open_trials(sweep, tmp_path, ledger)} == {tuning[1].cell}


def test_a_seed_that_is_added_runs_in_every_cell(sweep, tmp_path):
    ledger = Ledger()
    run_all(ledger, open_trials(sweep, tmp_path, ledger), lambda p: 0.8)
    run_all(ledger, open_trials(sweep, tmp_path, ledger), lambda p: 0.8)
    more = load_sweep(tmp_path / "a.yaml", ["seeds=[0, 1, 2]"])
    assert [p.seed for p in open_trials(more, tmp_path, ledger)] == [2, 2]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("tune.seed=1", r"tune\.seed is 1, but must not be one of the seeds"),
        ("tune.axes={method.loss: {choice: [unicon]}}", "every level of the factor loss sets it"),
        ("tune.axes={optim.rl: {uniform: [0, 1]}}", "did you mean 'optim.lr'"),
        ("tune.axes={optim.lr: {uniform: [-1, 1]}}", "optim.lr is -1"),
        ("tune.trials=1", "tune.trials is 1"),
        (
            "tune.axes={method.temperature: {choice: [0.1, 0.2]}}",
            r"a\.yaml:12: tune\.trials is 3, but tune\.axes have 2 settings, and each is tried",
        ),
        (
            "tune={axes: {method.queue_size: {int: [64, 67]}, optim.lr: {choice: [0.1]}}}",
            r"tune\.trials is 8, but tune\.axes have 4 settings",
        ),
        ("tune.axes={optim.lr: {choice: [0.1]}}", "one setting, so there is nothing to tune"),
        ("margin=-0.1", "margin is -0.1"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_starts(sweep, tmp_path, override, words):
    with pytest.raises(ConfigError, match=words):
        load_sweep(tmp_path / "a.yaml", [override])


@given(u=st.floats(0, 1, exclude_max=True))
def test_every_place_is_a_value_of_its_axis(u):
    for axis in (
        Axis(loguniform=(0.01, 10), or_=0),
        Axis(uniform=(-1, 1)),
        Axis(int=(3, 5)),
        Axis(choice=["a", None, 7]),
    ):
        assert (
            axis.point("key", axis.at(u, with_or=True)) is not None
            or axis.at(u, with_or=True) is None
        )


def test_settings_spread_over_the_axes(sweep):
    tune = sweep.spec.tune.model_copy(update={"trials": 16})
    points = tuning_points(tune, {"optim.lr": 0.5, "method.temperature": 0.1})
    assert len(points) == 16, "a start off its axis takes no place"
    low = sum(point["optim.lr"] < 0.0548 for point in points)  # the middle on a log scale
    assert 6 <= low <= 10
    assert 6 <= sum(point["method.temperature"] == 0.1 for point in points) <= 10


@given(
    trials=st.integers(2, 24),
    temperatures=st.lists(st.sampled_from([0.05, 0.1, 0.2, 0.4]), min_size=1, unique=True),
    seed=st.integers(0, 99),
)
def test_no_setting_of_finite_axes_is_tried_twice(trials, temperatures, seed):
    axes = {
        "method.temperature": Axis(choice=temperatures),
        "method.queue_size": Axis(int=(64, 66), or_=64),  # an `or` that its range has too
        "method.key_momentum": Axis(uniform=(0.9, 0.95), step=0.05),
    }
    count = setting_count(axes)
    assert count == len(temperatures) * 3 * 2
    start = {"method.temperature": 0.1, "method.queue_size": 65, "method.key_momentum": 0.9}
    points = tuning_points(Tune(axes=axes, trials=trials, seed=seed), start)
    assert len({tuple(point.values()) for point in points}) == len(points) == min(trials, count)
    if 0.1 in temperatures:
        assert points[0] == start


def test_as_many_trials_as_settings_try_them_all(sweep, tmp_path):
    axes = "tune.axes={method.temperature: {choice: [0.05, 0.1, 0.2, 0.4]}}"
    whole = load_sweep(tmp_path / "a.yaml", [axes, "tune.trials=4"])
    tried = {}
    for p in open_trials(whole, tmp_path, Ledger()):
        tried.setdefault(p.cell, []).append(p.values["method.temperature"])
    assert [sorted(values) for values in tried.values()] == [[0.05, 0.1, 0.2, 0.4]] * 2


def test_the_value_of_or_is_tried_once():
    axes = {"method.cross_consistency.weight": Axis(loguniform=(0.01, 10), or_=0)}
    points = tuning_points(Tune(axes=axes, trials=8), {"method.cross_consistency.weight": 0})
    weights = [point["method.cross_consistency.weight"] for point in points]
    assert len(set(weights)) == 8
    assert weights.count(0) == 1


def test_settings_of_a_continuous_axis_are_those_of_the_sequence(sweep):
    tune = sweep.spec.tune.model_copy(update={"trials": 6})
    points = tuning_points(tune, {"optim.lr": 0.5, "method.temperature": 0.1})
    places = qmc.Halton(d=2, scramble=True, rng=tune.seed).random(6)
    assert [point["optim.lr"] for point in points] == [
        tune.axes["optim.lr"].at(u, with_or=True) for u in places[:, 0]
    ]


SEVERAL = FILE.replace("  trials: 3\n", "  trials: 3\n  seeds: [1000, 1001]\n").replace(
    "seeds: [0, 1]\n", "seeds: [0, 1, 2, 3]\n"
)


@pytest.fixture
def several(tmp_path):
    (tmp_path / "b.yaml").write_text(SEVERAL)
    return load_sweep(tmp_path / "b.yaml")


def test_each_tuning_seed_has_settings_of_its_own_the_same_in_every_cell(several, tmp_path):
    proposals = open_trials(several, tmp_path, Ledger())
    assert len(proposals) == several.spec.trials - 2 * 4 == 2 * 2 * 3
    settings = {}
    for p in proposals:
        tuned = tuple(p.values[key] for key in ("optim.lr", "method.temperature"))
        settings.setdefault((p.seed, p.cell), []).append(tuned)
    (one, two), (three, four) = (
        [tried for (seed, _), tried in settings.items() if seed == tuning]
        for tuning in (1000, 1001)
    )
    assert one == two
    assert three == four
    assert one[0] == three[0] == (0.06, 0.1)
    assert one[1:] != three[1:]
    assert [p.trial_id.partition("-s")[2] for p in proposals[:4]] == ["1000-000"] * 2 + [
        "1001-000"
    ] * 2
    assert several.spec.count_in_words(20).endswith(
        "3 to tune each cell with each of 2 tuning seeds"
    )


def test_each_tuning_chooses_its_own_values_for_its_share_of_the_seeds(several, tmp_path):
    ledger = Ledger()
    tuning = open_trials(several, tmp_path, ledger)
    run_all(ledger, tuning, lambda p: 0.9 if p.trial_id.endswith("-s1001-002") else 0.8)
    chosen = {p.cell: p.values["optim.lr"] for p in tuning if p.trial_id.endswith("-s1001-002")}
    compared = open_trials(several, tmp_path, ledger)
    assert [p.seed for p in compared] == [0, 0, 1, 1, 2, 2, 3, 3]
    for p in compared:
        assert p.values["optim.lr"] == (chosen[p.cell] if p.seed % 2 else 0.06)


def test_added_seeds_leave_the_others_at_their_tuning(several, tmp_path):
    more = load_sweep(tmp_path / "b.yaml", ["seeds=[0, 1, 2, 3, 4, 5]"])
    assert several.spec.tuning_of.items() <= more.spec.tuning_of.items()
    with pytest.raises(ConfigError, match=r"seeds are 5, but tune\.seeds are 2: each tuning"):
        load_sweep(tmp_path / "b.yaml", ["seeds=[0, 1, 2, 3, 4]"])
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "sweep.yaml").write_text(several.spec.to_yaml())
    assert open_folder(tmp_path / "s", more.spec.to_yaml(), resume=True).all() == []
    turned = load_sweep(tmp_path / "b.yaml", ["seeds=[4, 5, 0, 1, 2, 3]"]).spec.to_yaml()
    with pytest.raises(ConfigError, match="begun with another file"):
        open_folder(tmp_path / "s", turned, resume=True)


def test_one_tuning_of_a_cell_that_failed_leaves_out_its_seeds_only(several, tmp_path):
    ledger = Ledger()
    tuning = open_trials(several, tmp_path, ledger)
    lost = tuning[0].cell
    failing = lambda p: float("nan") if (p.cell, p.seed) == (lost, 1001) else 0.8  # noqa: E731
    run_all(ledger, tuning, failing)
    compared = open_trials(several, tmp_path, ledger)
    assert [p.seed for p in compared if p.cell == lost] == [0, 2]
    assert [p.seed for p in compared if p.cell != lost] == [0, 1, 2, 3]


def test_the_resolved_file_has_the_key_that_was_written(sweep, several, tmp_path):
    assert "  seed: 1000\n" in sweep.spec.to_yaml()
    assert sweep.spec.to_yaml().count("seeds:") == 1
    resolved = several.spec.to_yaml()
    assert "  seed: 1000" not in resolved
    (tmp_path / "again.yaml").write_text(resolved)
    assert load_sweep(tmp_path / "again.yaml").spec.to_yaml() == resolved
    with pytest.raises(ConfigError, match="only one of the keys may be there"):
        load_sweep(tmp_path / "b.yaml", ["tune.seed=1"])
    with pytest.raises(ConfigError, match=r"tune\.seeds has 1001, but must not be one of"):
        load_sweep(tmp_path / "b.yaml", ["seeds=[0, 1001]"])


def test_a_look_that_would_have_more_seeds_of_one_tuning_than_of_another_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text(SEVERAL)
    with pytest.raises(ConfigError, match="each look must be at a multiple of 2"):
        load_sweep(tmp_path / "a.yaml", ["seeds=[0, 1, 2, 3]", "looks=[3, 4]"])
    load_sweep(tmp_path / "a.yaml", ["seeds=[0, 1, 2, 3]", "looks=[2, 4]"])


FORMS = """\
kind: ablation
name: a
run: {preset: digits}
factors:
  cross:
    off:  {method.cross_consistency.weight: 0}
    pairs: {method.cross_consistency.form: batch_pairs}
    kl:   {method.cross_consistency.form: batch_kl}
  queue:
    short: {method.queue_size: 64}
    long:  {method.queue_size: 128}
tune:
  axes:
    method.cross_consistency.weight: {loguniform: [0.03, 3]}
  trials: 4
seeds: [0, 1]
"""


def test_a_value_that_a_cells_level_sets_is_not_tuned_there(tmp_path):
    (tmp_path / "a.yaml").write_text(FORMS)
    sweep = load_sweep(tmp_path / "a.yaml")  # at the run's own weight of 0 the forms are one
    ledger = Ledger()
    tuning = open_trials(sweep, tmp_path, ledger)
    tried = {cell.name: [p for p in tuning if p.cell == cell.name] for cell in sweep.spec.cells}
    assert {name: len(found) for name, found in tried.items()} == {
        f"cross={cross} queue={queue}": 0 if cross == "off" else 4
        for cross in ("off", "pairs", "kl")
        for queue in ("short", "long")
    }
    assert sweep.spec.trials == len(tuning) + 6 * 2
    assert "to tune each cell but 2" in sweep.spec.count_in_words(40)
    weight = "method.cross_consistency.weight"
    weights = {name: [p.values[weight] for p in found] for name, found in tried.items() if found}
    assert len({tuple(found) for found in weights.values()}) == 1
    largest = max(next(iter(weights.values())))
    run_all(ledger, tuning, lambda p: 0.9 if p.values[weight] == largest else 0.8)
    for p in open_trials(sweep, tmp_path, ledger):
        assert p.values[weight] == (0 if p.cell.startswith("cross=off") else largest)


def test_an_end_of_an_axis_that_no_run_can_have_is_refused(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(FORMS.replace("{loguniform: [0.03, 3]}", "{uniform: [-1, 3]}"))
    with pytest.raises(ConfigError, match=r"method\.cross_consistency\.weight is -1"):
        load_sweep(file)
