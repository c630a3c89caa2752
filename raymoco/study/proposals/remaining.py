"""What a sweep still has to run, pure: from its file and its journal to proposals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raymoco.engine.checkpoint import list_checkpoints
from raymoco.study.journal.ledger import Ledger, search_trials
from raymoco.study.journal.ranking import ranked
from raymoco.study.proposals.cell_tuning import PHASE, tuned_values, tuning_points
from raymoco.study.proposals.confirmation import confirm_proposals
from raymoco.study.proposals.proposal import Proposal
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.sweep import AblationSpec, SearchSpec


def interrupted_before(folder: Path, ledger: Ledger, *, cells: bool) -> list[Proposal]:
    """What an earlier driver left unfinished, to go on from its last checkpoint.

    A trial of a search that Ctrl-C or its hours have ended is over, Optuna has been told; a cell's
    goes on, or the comparison would miss a pair.
    """
    begun = ledger.in_state("waiting", "running", *(["stopped"] if cells else []))
    proposals = []
    for trial in begun:
        if bool(trial.cell) == cells:
            # the folder knows better than the journal: a kill may have come between the two
            found = list_checkpoints(folder / "checkpoints" / trial.trial_id)
            resume_from = str(found[-1]) if found else None
            proposals.append(
                Proposal(
                    trial.trial_id,
                    trial.values,
                    trial.seed,
                    trial.cell,
                    trial.attempt + 1,
                    resume_from,
                    phase=trial.phase,
                )
            )
    return proposals


def trials_left(spec: SearchSpec, ledger: Ledger) -> int:
    """How many trials of a search have not ended, or not begun; a stopped member goes on."""
    ended = [trial for trial in search_trials(ledger) if trial.ended is not None]
    if spec.scheduler.name == "pbt":
        ended = [trial for trial in ended if trial.state != "stopped"]
    return spec.budget.trials - len(ended)


def beyond_budget(spec: SearchSpec, folder: Path, ledger: Ledger) -> list[Proposal]:
    """Interrupted trials that a budget lowered meanwhile has no room for."""
    return interrupted_before(folder, ledger, cells=False)[max(0, trials_left(spec, ledger)) :]


def open_trials(sweep: Sweep, folder: Path, ledger: Ledger) -> list[Proposal]:
    """The trials known beforehand that are not over; for a search one stands for the rest."""
    spec = sweep.spec
    if isinstance(spec, SearchSpec):
        if trials_left(spec, ledger) > 0:
            return [Proposal("search", {}, sweep.base.seed)]
        return open_confirmations(sweep, spec, folder, ledger)
    return open_tuning(sweep, spec, folder, ledger) or open_cells(spec, folder, ledger)


def open_tuning(sweep: Sweep, spec: AblationSpec, folder: Path, ledger: Ledger) -> list[Proposal]:
    """The trials that tune the cells, as far as they have not ended."""
    if spec.tune is None:
        return []
    points = tuning_points(spec.tune, sweep.base.flat())
    # setting by setting: whatever ends early has treated all cells alike
    wanted = [
        Proposal(
            f"tune-{cell.slug}-{number:03d}",
            {**cell.values, **point},
            spec.tune.seed,
            cell.name,
            phase=PHASE,
        )
        for number, point in enumerate(points)
        for cell in spec.cells
    ]
    return _open(wanted, folder, ledger)


def open_cells(spec: AblationSpec, folder: Path, ledger: Ledger) -> list[Proposal]:
    """The trials that are compared, as far as they have not ended.

    With `tune` each cell has the values that it was tuned to; a cell none of whose tuning trials
    was completed has none and is left out: untuned beside tuned it would be no fair comparison.
    """
    tuned: dict[str, dict[str, Any] | None] = {cell.name: {} for cell in spec.cells}
    if spec.tune is not None:
        tuned = tuned_values(spec, ledger)
    # seed by seed: whatever ends early leaves whole pairs
    wanted = [
        Proposal(f"{cell.slug}-s{seed}", {**cell.values, **values}, seed, cell.name)
        for seed in spec.seeds
        for cell in spec.cells
        if (values := tuned[cell.name]) is not None
    ]
    return _open(wanted, folder, ledger)


def open_confirmations(
    sweep: Sweep, spec: SearchSpec, folder: Path, ledger: Ledger
) -> list[Proposal]:
    """The confirming trials of the best so far that have not ended."""
    best = ranked(search_trials(ledger), spec.objective)
    if spec.confirm is None or not best:
        return []
    wanted = confirm_proposals(spec.confirm, best, sweep.base.flat())
    return _open(wanted, folder, ledger)


def _open(wanted: list[Proposal], folder: Path, ledger: Ledger) -> list[Proposal]:
    """Those that have not ended, the begun ones with their checkpoint."""
    begun = {p.trial_id: p for p in interrupted_before(folder, ledger, cells=True)}
    over = {t.trial_id for t in ledger.all() if t.ended is not None} - begun.keys()
    return [begun.get(p.trial_id, p) for p in wanted if p.trial_id not in over]


def gangs_needed(sweep: Sweep, ledger: Ledger) -> int:
    """How many gangs can be of use for what is left."""
    spec = sweep.spec
    if isinstance(spec, SearchSpec):
        confirming = len(spec.confirm.seeds) * (spec.confirm.top + 1) if spec.confirm else 0
        left = max(trials_left(spec, ledger), confirming)
    else:
        ended = [trial for trial in ledger.all() if trial.ended is not None]
        left = trial_count(sweep) - sum(trial.state != "stopped" for trial in ended)
    return max(1, min(spec.budget.concurrent, left))


def trial_count(sweep: Sweep) -> int:
    """How many trials the file asks for, confirmations left out."""
    return sweep.trials
