"""TPE considers a bounded number of trials; up to it, it is Optuna's own."""

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from raymoco.study.proposals.considered import KEPT, MOST, BoundedTpe, thinned

SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
OPTIONS = {"n_startup_trials": 5, "multivariate": True, "constant_liar": True}


def trial_of(number, values, state=TrialState.COMPLETE, steps=()):
    draw = (number * 0.618034) % 1
    return create_trial(
        params={"x": draw, "y": 1 - draw},
        distributions=SPACE,
        values=values if state == TrialState.COMPLETE else None,
        state=state,
        intermediate_values=dict(steps),
    )


def study_of(trials, directions=("maximize",)):
    study = optuna.create_study(directions=list(directions))
    study.add_trials(trials)
    return study


def asked(study, sampler, times=5):
    found = []
    for _ in range(times):
        study.sampler = sampler(seed=len(found), **OPTIONS)
        trial = study.ask()
        found.append([trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)])
        study.tell(trial, [0.5] * len(study.directions))
    return found


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("directions", [("maximize",), ("maximize", "minimize")])
def test_up_to_a_thousand_trials_it_asks_what_optunas_own_asks(directions):
    values = [[(n * 0.37) % 1, (n * 0.71) % 1][: len(directions)] for n in range(MOST - 5)]
    trials = [trial_of(n, one) for n, one in enumerate(values)]
    ours = asked(study_of(trials, directions), BoundedTpe)
    assert ours == asked(study_of(trials, directions), optuna.samplers.TPESampler)


def test_beyond_a_thousand_the_best_stay_and_the_others_are_thinned_evenly():
    study = study_of([trial_of(n, [(n * 0.37) % 1]) for n in range(3000)])
    kept = thinned(study.trials, study.directions)
    best = sorted(study.trials, key=lambda t: -t.value)[:KEPT]
    numbers = [trial.number for trial in kept]
    assert len(kept) == MOST
    assert {trial.number for trial in best} <= set(numbers)
    assert numbers == sorted(numbers)
    thirds = [sum(third * 1000 <= n < (third + 1) * 1000 for n in numbers) for third in range(3)]
    assert max(thirds) - min(thirds) < 60


def test_where_few_are_complete_the_pruned_ones_that_came_farthest_stay():
    complete = [trial_of(n, [0.5]) for n in range(10)]
    pruned = [trial_of(n, None, TrialState.PRUNED, {1 + n % 40: 0.1}.items()) for n in range(1990)]
    study = study_of([*complete, *pruned])
    kept = thinned(study.trials, study.directions)
    assert sum(trial.state == TrialState.COMPLETE for trial in kept) == 10
    far = [t for t in study.trials if max(t.intermediate_values, default=0) == 40]
    assert {trial.number for trial in far} <= {trial.number for trial in kept}


def test_of_several_objectives_the_front_stays():
    values = [[(n * 0.37) % 1, (n * 0.71) % 1] for n in range(1500)]
    study = study_of([trial_of(n, one) for n, one in enumerate(values)], ("maximize", "minimize"))
    kept = {trial.number for trial in thinned(study.trials, study.directions)}
    assert len(kept) == MOST
    assert {trial.number for trial in study.best_trials} <= kept


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_beyond_a_thousand_it_still_asks_near_the_best():
    trials = [trial_of(n, [-abs((n * 0.618034) % 1 - 0.25)]) for n in range(2000)]
    found = asked(study_of(trials), BoundedTpe, times=20)
    assert sum(abs(x - 0.25) < 0.1 and abs(y - 0.75) < 0.1 for x, y in found) >= 15
