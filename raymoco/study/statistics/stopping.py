"""How far an ablation with looks or a search with repeats trains, as its journal stands."""

from __future__ import annotations

from raymoco.study.journal.events import TrialState
from raymoco.study.journal.ledger import Ledger
from raymoco.study.journal.points import proposals_in_all
from raymoco.study.statistics.comparisons import compare_cells
from raymoco.study.statistics.looks import Look
from raymoco.study.sweepfile.load import Sweep


def seeds_to_train(sweep: Sweep, ledger: Ledger) -> int | None:
    """Return how many of the seeds are trained: up to the look that decides, or to the next one.

    Returns:
        None: all, because the file has no looks.
    """
    looks = _looks(sweep, ledger)
    return _goal(looks).seeds if looks else None


def planned_trials(sweep: Sweep, ledger: Ledger) -> int:
    """Return the number of trials that are planned now.

    An earlier look may make do with fewer, and so does a proposal that is stopped after some of its
    repeats.
    """
    search = sweep.search
    if search is not None:
        trainings = proposals_in_all(search, ledger) * search.repeats
        return trainings + search.confirmations - ledger.spared
    spec, seeds = sweep.ablation, seeds_to_train(sweep, ledger)
    if spec is None or seeds is None:
        return sweep.spec.planned_trials
    return spec.planned_trials - len(spec.cells) * (len(spec.seeds) - seeds)


def repeats_words(sweep: Sweep, ledger: Ledger) -> str:
    """Count the proposals of a search with repeats, and what early ends spared; '' without."""
    spec = sweep.search
    if spec is None or spec.repeats == 1:
        return ""
    proposals = ledger.search_trials
    ended = sum(proposal.ended is not None for proposal in proposals)
    dropped = sum(
        trainings[-1].completed and proposal.state == TrialState.PRUNED
        for proposal, trainings in zip(proposals, ledger.trainings.values(), strict=True)
    )
    text = f"{ended} of {proposals_in_all(spec, ledger)} proposals ended, {spec.repeats} seeds each"
    if dropped:
        text += f"; {dropped} clearly behind the best after some of them"
    if ledger.spared:
        text += f"; {ledger.spared} trainings spared by early ends"
    return text


def look_words(sweep: Sweep, ledger: Ledger) -> str:
    """Say at which look the sweep is, or at which it stopped; '' without looks."""
    looks = _looks(sweep, ledger)
    if not looks:
        return ""
    goal, most = _goal(looks), looks[-1].seeds
    if not goal.taken:
        before = [f"; {taken_words(look)}" for look in looks if look.taken][-1:]
        number = f"{looks.index(goal) + 1} of {len(looks)}"
        return f"{number} is at {goal.seeds} seeds, {most} at most{''.join(before)}"
    if goal.seeds == most:
        return f"{taken_words(goal)}; it was the last"
    return f"{taken_words(goal)}; stopped there, {most} seeds were the most"


def taken_words(look: Look) -> str:
    """Say what a look has decided."""
    rows = len(look.decided)
    decided = rows - len(look.open)
    return f"at {look.seeds} seeds {decided} of {rows} rows decided at level {look.level:.2g}"


def _looks(sweep: Sweep, ledger: Ledger) -> list[Look]:
    if sweep.ablation is None or sweep.ablation.looks is None:
        return []
    found = compare_cells(sweep, ledger)
    assert found is not None
    return found.looks


def _goal(looks: list[Look]) -> Look:
    """Return the first look that has decided every row or was not taken yet; else the last."""
    return next((look for look in looks if not look.taken or not look.open), looks[-1])
