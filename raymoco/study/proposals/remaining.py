"""Determine which trials a sweep still has to run, from its file and its journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from raymoco.engine.checkpoint import list_checkpoints
from raymoco.study.journal.events import Dropped, Ended, TrialPhase, TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger, TrialRecord
from raymoco.study.journal.points import proposals_in_all, proposals_left
from raymoco.study.journal.ranking import ranked
from raymoco.study.proposals.cell_tuning import tuned_values, tuning_id, tuning_points
from raymoco.study.proposals.confirmation import confirm_proposals
from raymoco.study.proposals.proposal import Proposal
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.search_spec import SearchSpec


def interrupted_before(folder: Path, ledger: Ledger, *, cells: bool) -> list[Proposal]:
    """Return the trials that an earlier driver left unfinished, each with its last checkpoint.

    A search's trial that Ctrl-C or the budget's hours stopped has ended: Optuna was told. A cell's
    trial continues, because the comparison would otherwise lack a pair.
    """
    unfinished = (TrialState.WAITING, TrialState.RUNNING)
    begun = ledger.in_state(*unfinished, *([TrialState.STOPPED] if cells else []))
    proposals = []
    for trial in begun:
        if bool(trial.cell) == cells:
            # look in the folder: a kill may have come between the checkpoint and the journal's
            # event
            found = list_checkpoints(SweepFolder(folder).checkpoints_of(trial.trial_id))
            # and by the name in the journal: a network file system may list it late
            resume_from = str(found[-1]) if found else trial.checkpoint
            proposals.append(
                Proposal(
                    trial.trial_id,
                    trial.values,
                    trial.seed,
                    trial.cell,
                    trial.attempt + 1,
                    resume_from,
                    phase=trial.phase,
                    proposal=trial.proposal,
                    repeat=trial.repeat,
                    repeats=trial.repeats,
                )
            )
    return proposals


def trials_left(spec: SearchSpec, ledger: Ledger) -> int:
    """Count a search's trials that have not ended, with stopped members of a population."""
    return proposals_left(spec, ledger)


def trainings_left(spec: SearchSpec, ledger: Ledger) -> int:
    """Count the trainings of a search's proposals that have not ended, at most."""
    begun = [t for trainings in ledger.trainings.values() for t in trainings]
    ended = sum(trial.ended is not None for trial in begun)
    planned = proposals_in_all(spec, ledger) * spec.repeats
    return planned - ended - ledger.spared if trials_left(spec, ledger) > 0 else 0


def beyond_budget(spec: SearchSpec, ledger: Ledger) -> list[TrialRecord]:
    """Return interrupted trials, or proposals, beyond a budget that was lowered since."""
    unfinished = [trial for trial in ledger.search_trials if trial.ended is None]
    return unfinished[max(0, trials_left(spec, ledger)) :]


def end_early(
    trials: Iterable[TrialRecord], reason: str, ledger: Ledger
) -> Iterator[Ended | Dropped]:
    """Yield the events that end trials of a search, or proposals, as stopped.

    Args:
        trials: of `ledger.search_trials`.
        reason: why they end.
    """
    for trial in trials:
        trainings = ledger.trainings[trial.trial_id]
        unfinished = [training.trial_id for training in trainings if training.ended is None]
        for name in unfinished:
            yield Ended(trial_id=name, state=TrialState.STOPPED, reason=reason)
        if not unfinished:  # it waits for its next repeat
            name = trainings[-1].trial_id
            yield Dropped(trial_id=name, state=TrialState.STOPPED, reason=reason)


def open_trials(
    sweep: Sweep, folder: Path, ledger: Ledger, seeds: int | None = None
) -> list[Proposal]:
    """Return known trials that have not ended; one stands for all that are not proposed yet.

    Args:
        seeds: as for `open_cells`.
    """
    search, ablation = sweep.search, sweep.ablation
    if search is not None:
        if trials_left(search, ledger) > 0:
            return [Proposal("search", {}, sweep.base.seed)]
        return open_confirmations(sweep, search, folder, ledger)
    assert ablation is not None
    tuning = open_tuning(sweep, ablation, folder, ledger)
    return tuning or open_cells(ablation, folder, ledger, seeds)


def open_tuning(sweep: Sweep, spec: AblationSpec, folder: Path, ledger: Ledger) -> list[Proposal]:
    """Return the trials that tune the cells and have not ended."""
    if spec.tune is None:
        return []
    tune, start = spec.tune, sweep.base.flat()
    points = {
        (cell.name, seed): tuning_points(tune, start, seed, spec.tuned_in(cell))
        for cell in spec.cells
        for seed in tune.tunings
    }
    # setting by setting: if the sweep ends early, all cells have had the same settings
    wanted = [
        Proposal(
            tuning_id(tune, cell.slug, seed, number),
            {**cell.values, **points[cell.name, seed][number]},
            seed,
            cell.name,
            phase=TrialPhase.TUNE,
        )
        for number in range(max(map(len, points.values())))
        for seed in tune.tunings
        for cell in spec.cells
        if number < len(points[cell.name, seed])
    ]
    return _open(wanted, folder, ledger)


def open_cells(
    spec: AblationSpec, folder: Path, ledger: Ledger, seeds: int | None = None
) -> list[Proposal]:
    """Return the trials of the comparison that have not ended.

    With `tune` each cell uses its tuned values, of the tuning that the seed belongs to. A cell
    without a completed trial of this tuning is left out: comparing an untuned cell with tuned ones
    would not be fair.

    Args:
        seeds: how many of the file's seeds are trained, up to the next look; None: all.
    """
    tuned: dict[int, dict[str, dict[str, Any] | None]] = {}
    if spec.tune is not None:
        tuned = {seed: tuned_values(spec, ledger, seed) for seed in spec.tune.tunings}
    of_seed = {seed: tuned[tuning] for seed, tuning in (spec.tuning_of or {}).items()}
    untuned: dict[str, dict[str, Any] | None] = {cell.name: {} for cell in spec.cells}
    alone = next(iter(tuned.values()), untuned)  # of all seeds, where there are not several tunings
    # seed by seed: if the sweep ends early, it has complete pairs
    wanted = [
        Proposal(f"{cell.slug}-s{seed}", {**cell.values, **values}, seed, cell.name)
        for seed in spec.seeds[:seeds]
        for cell in spec.cells
        if (values := of_seed.get(seed, alone)[cell.name]) is not None
    ]
    return _open(wanted, folder, ledger)


def open_confirmations(
    sweep: Sweep, spec: SearchSpec, folder: Path, ledger: Ledger
) -> list[Proposal]:
    """Return the confirming trials of the best so far that have not ended."""
    best = ranked(ledger.search_trials, spec.objective)
    if spec.confirm is None or not best:
        return []
    wanted = confirm_proposals(spec.confirm, best, sweep.base.flat())
    return _open(wanted, folder, ledger)


def _open(wanted: list[Proposal], folder: Path, ledger: Ledger) -> list[Proposal]:
    """Drop the trials that have ended; give trials that have begun their last checkpoint."""
    begun = {p.trial_id: p for p in interrupted_before(folder, ledger, cells=True)}
    over = {t.trial_id for t in ledger.all() if t.ended is not None} - begun.keys()
    return [begun.get(p.trial_id, p) for p in wanted if p.trial_id not in over]


def gangs_needed(sweep: Sweep, ledger: Ledger) -> int:
    """Return the number of gangs that the remaining trials can use."""
    spec = sweep.spec
    if sweep.search is not None:
        left = max(trials_left(sweep.search, ledger), spec.confirmations)
    else:
        ended = [trial for trial in ledger.all() if trial.ended is not None]
        left = spec.trials - sum(trial.state != TrialState.STOPPED for trial in ended)
    return max(1, min(spec.budget.concurrent, left))
