"""Conformance of a sampler."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState as OptunaState

from raymoco.study.journal.events import TrialState
from raymoco.study.proposals.optuna_study import OptunaProposals
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.sampler_options import Sampler
from raymoco.study.sweepfile.search_sampler import EVERY_END
from raymoco.study.sweepfile.search_space import SearchSpace
from raymoco.study.sweepfile.sections import Objective
from raymoco.testing.expect import expect

# every kind of axis, an `or`, and two conditional axes
AXES: dict[str, Any] = {
    "lr": {"loguniform": [0.01, 1]},
    "size": {"int": [16, 64], "step": 16},
    "weight": {"loguniform": [0.1, 1], "or": 0},
    "loss": {"choice": ["unicon", "info_nce"]},
    "positives": {"choice": ["sum", "mean"], "when": {"loss": "unicon"}},
    "form": {"choice": ["kl", "entropy"], "when": {"weight": {"not": 0}}},
}
# for a sampler that lists its points
FINITE_AXES: dict[str, Any] = {
    "lr": {"uniform": [0.1, 0.3], "step": 0.1},
    "size": {"int": [1, 2]},
    "loss": {"choice": ["unicon", "info_nce"]},
    "positives": {"choice": ["sum", "mean"], "when": {"loss": "unicon"}},
}
BASE: dict[str, Any] = {
    "lr": 0.06,
    "size": 32,
    "weight": 0.0,
    "loss": "info_nce",
    "positives": "sum",
    "form": "kl",
}
TRIALS = 12
OBJECTIVE = Objective()
ENDS = (
    (TrialState.COMPLETED, OptunaState.COMPLETE),
    (TrialState.PRUNED, OptunaState.PRUNED),
    (TrialState.FAILED, OptunaState.FAIL),
    (TrialState.STOPPED, OptunaState.FAIL),
)
Asked = list[tuple[str, dict[str, Any]]]


def check_sampler(
    name: str, options: Mapping[str, Any] | None = None, *, axes: Mapping[str, Any] = AXES
) -> None:
    """Check that a search can use a sampler.

    It must propose values on the axes whose conditions hold, mostly new ones; the same seed and
    trial number must propose the same values, also in a search that is reopened every few trials;
    and it must continue after every kind of end of a trial.

    Args:
        name: as in a sweep file: `tpe`, `mylab.search:Evolution`.
        options: the options under `sampler.options`.
        axes: as under `search`; FINITE_AXES for a sampler that lists its points.
    Raises:
        AssertionError: says in a sentence what is wrong.
        ConfigError: there is no such sampler, or an option is wrong.
    """
    sampler = Sampler(name=name, seed=3, startup_trials=3, options=dict(options or {}))
    space = SearchSpace({key: Axis.model_validate(axis) for key, axis in axes.items()}, BASE)
    unknown = set(sampler.code.learns_from(sampler.chosen)) - set(EVERY_END)
    expect(not unknown, f"learns_from names {unknown}, but trials end as {EVERY_END}")
    with TemporaryDirectory() as folder:
        _check_proposals(sampler, space, Path(folder))
        _check_ends(sampler, space, Path(folder))


def open_search(folder: Path, sampler: Sampler, space: SearchSpace) -> OptunaProposals:
    """Open a search of a few trials whose study is in a folder."""
    folder.mkdir(exist_ok=True)
    points = [BASE, *(sampler.points(space) or [])]
    trials = TRIALS if len(points) == 1 else len(points)
    log = folder / "optuna.log"
    return OptunaProposals("s", space, [OBJECTIVE], sampler, trials, 0, log, first=points)


def play(search: OptunaProposals, trials: int = 99) -> Asked:
    """Ask and tell, with every third trial pruned after its first epoch; return the proposals."""
    asked: Asked = []
    while len(asked) < trials and (proposal := search.ask()) is not None:
        pruned = int(proposal.trial_id[1:]) % 3 == 2
        rows = _curve(proposal.values, 1 if pruned else 2)
        state = TrialState.PRUNED if pruned else TrialState.COMPLETED
        search.tell(proposal, state, rows)
        asked.append((proposal.trial_id, proposal.values))
    return asked


def _check_proposals(sampler: Sampler, space: SearchSpace, folder: Path) -> None:
    search = open_search(folder / "once", sampler, space)
    asked = play(search)
    listed = sampler.points(space)
    wanted = TRIALS if listed is None else len(listed)
    expect(len(asked) == wanted, f"{len(asked)} trials were proposed, but {wanted} were asked for")
    for trial_id, values in asked:
        for key, axis in space.axes.items():
            there = f"{trial_id} has {values}"
            holds = space.holds(key, values)
            expect((key in values) == holds, f"{there}: the condition of {key} is {holds}")
            on_axis = key not in values or axis.point(key, values[key]) is not None
            expect(on_axis, f"{there}: {key} must be {axis.describe()}")
    # what it repeats becomes no trial
    different, drawn = len({repr(values) for _, values in asked}), len(asked) + search.skipped
    expect(different > drawn // 2, f"of {drawn} draws only {different} differ: {asked}")
    again = play(open_search(folder / "again", sampler, space))
    expect(again == asked, f"the same seed proposed {asked} and then {again}")
    reopened: Asked = []
    while part := play(open_search(folder / "reopened", sampler, space), trials=5):
        reopened += part
    expect(
        reopened == asked,
        f"a search that was reopened every five trials proposed {reopened}, an undisturbed one "
        f"{asked}: what is drawn must depend on the study and on NextTrial alone",
    )


def _check_ends(sampler: Sampler, space: SearchSpace, folder: Path) -> None:
    search = open_search(folder / "ends", sampler, space)
    for state, _ in ENDS:
        proposal = search.ask()
        assert proposal is not None
        rows = {} if state == TrialState.FAILED else _curve(proposal.values, 2)
        search.tell(proposal, state, rows)
    play(search)  # it can live with all of them
    storage = JournalStorage(JournalFileBackend(str(folder / "ends" / "optuna.log")))
    trials = optuna.load_study(study_name="s", storage=storage).get_trials()
    told = [trial.state for trial in trials[: len(ENDS)]]
    expect(told == [state for _, state in ENDS], f"the study has {told}")
    open_ones = [trial.number for trial in trials if not trial.state.is_finished()]
    expect(not open_ones, f"the trials {open_ones} are told no end")


def _curve(values: Mapping[str, Any], epochs: int) -> dict[int, dict[str, float]]:
    score = -((math.log10(values["lr"]) + 1) ** 2) + 0.1 * (values["loss"] == "unicon")
    rows = range(1, epochs + 1)
    return {epoch: {"epoch": epoch, OBJECTIVE.metric: score * epoch} for epoch in rows}
