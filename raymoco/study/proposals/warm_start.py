"""Load the trials of another sweep for a sampler to start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from raymoco.errors import ConfigError
from raymoco.files import absolute
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.sweepfile.load import read_sweep
from raymoco.study.sweepfile.search_space import SearchSpace
from raymoco.study.sweepfile.search_spec import SearchSpec
from raymoco.study.sweepfile.sections import Objective

SOURCE = "raymoco.warm_start"  # user attribute of a trial of another sweep


def load_warm_start(
    name: str, output: Path, space: SearchSpace, objectives: Sequence[Objective]
) -> list[FrozenTrial]:
    """Return the completed and pruned trials of another sweep whose values are on these axes.

    Both sweeps must have the same axes of the same kinds and conditions, and the same objectives.
    Ranges and choices may differ: a trial outside of them is left out. The runs may differ in
    everything else; the user decides whether they are similar enough to learn from.

    Args:
        name: a sweep in the same output folder, or the path of a sweep's folder.
    Returns:
        The trials with this space's distributions and their origin as an attribute.
    Raises:
        ConfigError: no such sweep, another kind of sweep, or no trial of it fits.
    """
    folder = output / name if "/" not in name else absolute(name)
    file, log = SweepFolder(folder).spec, SweepFolder(folder).optuna_log
    if not file.is_file() or not log.is_file():
        raise ConfigError(
            f"warm_start is '{name}', but {folder} holds no search (no {file.name} and {log.name})."
        )
    other = read_sweep(file).search
    if other is None:
        raise ConfigError(f"warm_start is '{name}', which is no search.")
    _compare(name, other, space, objectives)
    storage = JournalStorage(JournalFileBackend(str(log)))
    (summary,) = optuna.get_all_study_summaries(storage)
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    over = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    fitting = [found for trial in over if (found := _fit(trial, space, name)) is not None]
    if not fitting:
        raise ConfigError(
            f"warm_start is '{name}', but of its {len(over)} finished trials none lies on the axes "
            "of this sweep."
        )
    return fitting


def _compare(
    name: str, other: SearchSpec, space: SearchSpace, objectives: Sequence[Objective]
) -> None:
    theirs, ours = other.search, space.axes
    for key in dict.fromkeys([*ours, *theirs]):
        if key not in theirs or key not in ours:
            who = "only this sweep" if key in ours else "only that sweep"
            raise ConfigError(f"warm_start is '{name}', but {who} varies {key}.")
        a, b = theirs[key], ours[key]
        for what in ("kind", "or_", "conditions"):
            if getattr(a, what) != getattr(b, what):
                raise ConfigError(
                    f"warm_start is '{name}', but {key} is another axis there: {a.describe()}; "
                    f"here: {b.describe()}."
                )
    if list(other.objectives) != list(objectives):
        asked, found = (
            ", ".join(f"{o.metric} ({o.mode})" for o in some)
            for some in (objectives, other.objectives)
        )
        raise ConfigError(
            f"warm_start is '{name}', but its objective is {found}; here it is {asked}."
        )


def _fit(trial: FrozenTrial, space: SearchSpace, name: str) -> FrozenTrial | None:
    known = space.distributions()
    for param, value in trial.params.items():
        try:
            inside = known[param]._contains(known[param].to_internal_repr(value))
        except ValueError:  # a choice that this sweep does not offer
            return None
        if not inside:
            return None
    return optuna.trial.create_trial(
        state=trial.state,
        values=trial.values,
        params=trial.params,
        distributions={param: known[param] for param in trial.params},
        intermediate_values=trial.intermediate_values,
        user_attrs={SOURCE: f"{name} t{trial.number:03d}"},
    )
