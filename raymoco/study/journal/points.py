"""The points of a finite space that a search has trained, and those that are left."""

from __future__ import annotations

from pathlib import Path

from raymoco.study.journal.events import TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger
from raymoco.study.sweepfile.search_space import point_id
from raymoco.study.sweepfile.search_spec import SearchSpec

# in Optuna's study: of a draw that was not trained, the trial that had its point before
REPEATS = "raymoco.repeats"


def proposals_left(spec: SearchSpec, ledger: Ledger) -> int:
    """Count a search's proposals that have not ended, with stopped members of a population.

    A point is trained once, so a finite space may have fewer left than the budget. A point whose
    trial was stopped by Ctrl-C or the budget may be trained again.
    """
    proposals = ledger.search_trials
    ended = [trial for trial in proposals if trial.ended is not None]
    if spec.scheduler.population:
        ended = [trial for trial in ended if trial.state != TrialState.STOPPED]
    left = spec.budget.trials - len(ended)
    if spec.points is None:
        return left
    # version 0.1 trained a point again where the sampler repeated it
    taken = {point_id(t.values) for t in proposals if t.state != TrialState.STOPPED}
    unfinished = sum(trial.ended is None for trial in proposals)
    return min(left, max(0, spec.points - len(taken)) + unfinished)


def proposals_in_all(spec: SearchSpec, ledger: Ledger) -> int:
    """Count the proposals that a search has and will have, at most."""
    if spec.points is None:
        return spec.budget.trials
    ended = sum(trial.ended is not None for trial in ledger.search_trials)
    return ended + proposals_left(spec, ledger)


def points_words(spec: SearchSpec | None, ledger: Ledger) -> str:
    """Say that every point of a finite space is tried, where that ends a search; '' else."""
    if spec is None or spec.points is None or not ledger.trials:
        return ""
    ended = sum(trial.ended is not None for trial in ledger.search_trials)
    if ended >= spec.budget.trials or proposals_left(spec, ledger) > 0:
        return ""
    return (
        f"every point of the axes is tried: there are {spec.points}, and each is trained once; "
        f"the budget of {spec.budget.trials} trials is not used up"
    )


def skipped_words(folder: Path) -> str:
    """Count the draws of a search's sampler that repeated an earlier point; '' if there are none.

    Args:
        folder: the sweep's; its optuna.log has them.
    """
    log = SweepFolder(folder).optuna_log
    skipped = log.read_bytes().count(f'"{REPEATS}"'.encode()) if log.exists() else 0
    if not skipped:
        return ""
    draws = "1 draw" if skipped == 1 else f"{skipped:,} draws"
    return f"{draws} of the sampler repeated an earlier point: not trained again, not counted"
