"""Tune the nuisance axes of an ablation: every cell tries the same settings. Pure functions.

The settings are the run's own and then quasi-random ones (Halton), which cover the axes more evenly
than random ones. Every cell gets the same settings, and they do not depend on the order in which
trials end, so the sweep is repeatable. With several tuning seeds each has settings of its own and
chooses its own values, for its share of the comparison's seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from raymoco.study.journal.events import TrialPhase
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.sections import Tune


def tuning_points(
    tune: Tune,
    start: dict[str, Any],
    seed: int | None = None,
    axes: Mapping[str, Axis] | None = None,
) -> list[dict[str, Any]]:
    """Return the settings that every cell tries: the run's own, then different quasi-random ones.

    Args:
        tune: the axes and the number of settings; finite axes may have fewer.
        start: the run's own values by key; if one is outside its axis, this setting is left out.
        seed: the tuning seed; default the first.
        axes: those that are tuned in a cell; default all.
    Returns:
        An empty list where there is no axis to tune.
    Source: Bousquet et al. 2017, "Critical Hyper-Parameters: No Random, No Cry",
        arXiv:1706.03200.
    """
    from scipy.stats import qmc  # takes a second to import: too long for the message about a typo

    axes = tune.axes if axes is None else axes
    points: list[dict[str, Any]] = []
    if not axes:
        return points
    if all(axis.point(key, start[key]) is not None for key, axis in axes.items()):
        points.append({key: start[key] for key in axes})
    wanted = tune.settings(axes)
    sequence = qmc.Halton(d=len(axes), scramble=True, rng=tune.tunings[0] if seed is None else seed)
    while len(points) < wanted:  # the sequence comes near every point, so the loop ends
        (place,) = sequence.random()
        drawn = zip(axes.items(), place, strict=True)
        point = {key: axis.at(float(share), with_or=True) for (key, axis), share in drawn}
        if point not in points:  # finite axes and `or` values repeat
            points.append(point)
    return points


def tuning_id(tune: Tune, cell_slug: str, seed: int, number: int) -> str:
    """Return the id of a tuning trial; only where there are several tuning seeds it has the seed.

    Args:
        number: of the setting, from 0.
    """
    again = f"-s{seed}" if len(tune.tunings) > 1 else ""
    return f"tune-{cell_slug}{again}-{number:03d}"


def tuning_trials(ledger: Ledger, cell: str, seed: int | None = None) -> list[TrialRecord]:
    """Return the trials that tuned a cell, in the order of their settings.

    Args:
        seed: the tuning seed; default all of them.
    """
    found = [t for t in ledger.all() if t.cell == cell and t.phase == TrialPhase.TUNE]
    chosen = [trial for trial in found if seed is None or trial.seed == seed]
    return sorted(chosen, key=lambda trial: trial.trial_id)


def tuned_values(
    spec: AblationSpec, ledger: Ledger, seed: int | None = None
) -> dict[str, dict[str, Any] | None]:
    """Return the tuned values of each cell by its name; None without a completed tuning trial.

    Among equal scores the first wins, and the first setting is the run's own. A cell without
    anything to tune has no values, an empty mapping.

    Args:
        seed: the tuning seed; default the first.
    """
    assert spec.tune is not None
    seed = spec.tune.tunings[0] if seed is None else seed
    objective = spec.tuned_on
    found: dict[str, dict[str, Any] | None] = {}
    for cell in spec.cells:
        axes = spec.tuned_in(cell)
        if not axes:
            found[cell.name] = {}
            continue
        best: TrialRecord | None = None
        for trial in tuning_trials(ledger, cell.name, seed):
            score = trial.score(objective.metric)
            if not trial.completed or not math.isfinite(score):
                continue
            if best is None or objective.better(score, best.score(objective.metric)):
                best = trial
        found[cell.name] = None if best is None else {key: best.values[key] for key in axes}
    return found
