"""Conformance of a scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from ray.tune.experiment import Trial

from raymoco.metrics import TRAIN_LOSS
from raymoco.study.gangs.trial_queue import Assignment
from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.sweepfile.scheduler_options import Scheduler
from raymoco.study.sweepfile.sections import Objective
from raymoco.study.tune.schedulers import EvaluatedEpochs, build_scheduler
from raymoco.study.tune.trainable import ASSIGNMENT
from raymoco.testing.expect import expect

EPOCHS = 8
LEVELS = (0.5, 0.8, 0.2, 0.9, 0.1, 0.7, 0.3, 0.95, 0.05)  # the final score of each trial, in order
OBJECTIVES = (Objective(), Objective(metric=TRAIN_LOSS, mode="min"))
Rows = dict[int, dict[str, float]]


def check_scheduler(name: str, said: Mapping[str, Any] | None = None) -> None:
    """Check that a search can use a scheduler.

    It is built for both directions of an objective. It must let the best trial so far continue, and
    return CONTINUE or STOP, never STOP at the last epoch. It must accept an epoch without the
    objective's metric, a trial that fails and one that never ran. A search that is resumed between
    any two trials, or in the middle of one, must continue as an undisturbed one.

    Args:
        name: as in a sweep file: `asha`, `mylab.search:Patience`.
        said: the keys beside the name: `{"grace_epochs": 2}`, `{"options": {"epochs": 3}}`.
    Raises:
        AssertionError: says in a sentence what is wrong.
        ConfigError: there is no such scheduler, or an option is wrong.
    """
    scheduler = Scheduler.model_validate({"name": name, **(said or {})})
    for objective in OBJECTIVES:
        undisturbed = _check_decisions(scheduler, objective)
        _check_resumes(scheduler, objective, undisturbed)
        _check_goes_on(scheduler, objective)
        _check_what_else_happens(scheduler, objective)


def tune_trial(trial_id: str, rows: Rows | None = None) -> Trial:
    """Return a trial of Tune; with rows, one that continues after them."""
    trial = Trial("stub", stub=True)
    trial.config = {ASSIGNMENT: Assignment(trial_id, 1, {}, "", rows=cast(Any, rows or {}))}
    return trial


def ended_trials(curves: Mapping[str, Rows]) -> list[TrialRecord]:
    """Return trials as the journal of an earlier driver has them."""
    return [TrialRecord(name, {}, "", 0, rows=cast(Any, rows)) for name, rows in curves.items()]


def _check_decisions(scheduler: Scheduler, objective: Objective) -> dict[str, list[str]]:
    """Run trial after trial; return the decisions by trial, for each epoch."""
    built = build_scheduler(scheduler, objective, EPOCHS)
    decisions: dict[str, list[str]] = {}
    for number, level in enumerate(LEVELS):
        name = f"t{number:03d}"
        decisions[name] = said = _run(built, tune_trial(name), _curve(level, objective).values())
        for epoch, decision in enumerate(said, start=1):
            expect(
                decision in ("CONTINUE", "STOP"),
                f"it says {decision} of {name} at epoch {epoch}, but a gang knows no such thing",
            )
        if level == max(LEVELS[: number + 1]):
            expect(
                "STOP" not in said,
                f"{name} is the best so far at every epoch ({objective.metric}, "
                f"{objective.mode}), but it is stopped at epoch {len(said)}",
            )
    fallen = _curve(1.0, objective)
    fallen[EPOCHS] = {**_curve(0.0, objective)[EPOCHS], "epoch": EPOCHS}
    said = _run(built, tune_trial("fallen"), fallen.values())
    expect(
        said == ["CONTINUE"] * EPOCHS,
        f"of a trial that leads until its last epoch, where nothing can be stopped, it says {said}",
    )
    return decisions


def _check_resumes(
    scheduler: Scheduler, objective: Objective, undisturbed: Mapping[str, list[str]]
) -> None:
    levels = zip(undisturbed, LEVELS, strict=True)
    curves = {name: _curve(level, objective) for name, level in levels}
    heard = {
        name: dict(list(curves[name].items())[: len(said)]) for name, said in undisturbed.items()
    }
    for number, (name, said) in enumerate(undisturbed.items()):
        before = ended_trials(dict(list(heard.items())[:number]))
        for epoch in (0, len(said) // 2):
            built = build_scheduler(scheduler, objective, EPOCHS, before)
            known = {e: row for e, row in curves[name].items() if e <= epoch}
            rest = [row for e, row in curves[name].items() if e > epoch]
            again = _run(built, tune_trial(name, known), rest)
            expect(
                again == said[epoch:],
                f"resumed with {number} ended trials and {name} at epoch {epoch}, it says {again}; "
                f"an undisturbed one said {said[epoch:]}",
            )


def _check_goes_on(scheduler: Scheduler, objective: Objective) -> None:
    """Interrupt the first trial half way, complete better ones, and continue the first."""
    curve, half = list(_curve(0.5, objective).values()), EPOCHS // 2
    better = {f"t{n:03d}": _curve(0.9 + n / 100, objective) for n in range(4)}
    built, first = build_scheduler(scheduler, objective, EPOCHS), tune_trial("first")
    said = _run(built, first, curve[:half])
    for name, rows in better.items():
        _run(built, tune_trial(name), rows.values())
    said += _report(built, first, curve[half:])
    known = {int(row["epoch"]): row for row in curve[:half]}
    resumed = build_scheduler(scheduler, objective, EPOCHS, ended_trials(better))
    again = _run(resumed, tune_trial("first", known), curve[half:])
    expect(
        again == said[half:],
        f"of a trial that goes on behind epoch {half}, once better ones have ended, it says "
        f"{again} after a resume, and {said[half:]} without: it was judged again where it has been",
    )


def _check_what_else_happens(scheduler: Scheduler, objective: Objective) -> None:
    built = build_scheduler(scheduler, objective, EPOCHS)
    failing, waiting, sparse = (tune_trial(name) for name in ("failing", "waiting", "sparse"))
    for trial in (failing, waiting, sparse):
        built.on_trial_add(None, trial)
    built.on_trial_result(None, failing, _curve(0.5, objective)[1])
    built.on_trial_error(None, failing)
    built.on_trial_remove(None, waiting)
    said = built.on_trial_result(None, sparse, {"epoch": 1})
    expect(said == "CONTINUE", f"it says {said} of an epoch that was not evaluated")
    # curves that later ones beat, in the order of the journal
    curves = {f"t{n:03d}": _curve(level, objective) for n, level in enumerate(sorted(LEVELS))}
    build_scheduler(scheduler, objective, EPOCHS, ended_trials(curves))


def _run(built: EvaluatedEpochs, trial: Trial, rows: Iterable[dict[str, float]]) -> list[str]:
    """Add a trial and report its rows."""
    built.on_trial_add(None, trial)
    return _report(built, trial, rows)


def _report(built: EvaluatedEpochs, trial: Trial, rows: Iterable[dict[str, float]]) -> list[str]:
    """Report rows until the scheduler stops the trial; return its decisions."""
    said: list[str] = []
    for row in rows:
        said.append(built.on_trial_result(None, trial, dict(row)))
        if said[-1] == "STOP" or row["epoch"] == EPOCHS:
            built.on_trial_complete(None, trial, dict(row))
            break
    return said


def _curve(level: float, objective: Objective) -> Rows:
    """Return a curve that rises to a level; mirrored for an objective to minimize."""
    sign = 1 if objective.mode == "max" else -1
    return {
        epoch: {"epoch": epoch, objective.metric: sign * level * (1 - 0.5**epoch)}
        for epoch in range(1, EPOCHS + 1)
    }
