"""The summary that a sweep prints at its end."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from raymoco.study.journal.events import TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.proposals.confirmation import NOTHING_ELSE
from raymoco.study.statistics.confirmation import confirmed_cells
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.terminal.tables import best_table, cells_table, confirmation_table

if TYPE_CHECKING:
    from raymoco.study.results import SweepResult

SHOWN = 5


def print_summary(console: Console, sweep: Sweep, result: SweepResult) -> None:
    """Print the best trials, their comparison with the default, counts, and where to look next."""
    states = [trial.state for trial in result.trials]
    counts = {state: states.count(state) for state in dict.fromkeys(sorted(states))}
    console.print()
    objectives = sweep.objectives
    if len(objectives) > 1 and result.best:
        title = f"Pareto front of {', '.join(objective.metric for objective in objectives)}"
        console.print(best_table(result.best, objectives, sweep.axes, title))
    elif result.best:
        console.print(best_table(result.best[:SHOWN], objectives, sweep.axes))
    if result.comparisons is not None:
        if sweep.spec.question:
            console.print(sweep.spec.question, markup=False)
        console.print(cells_table(result.comparisons))
        for cell in result.comparisons.rows:
            console.print(result.comparisons.sentence(cell), markup=False)
    for note in result.notes:
        console.print(note, markup=False)
    for trial in result.trials:
        if trial.state == TrialState.FAILED:
            console.print(f"failed {trial.trial_id}: {trial.reason}", markup=False)
    console.print(", ".join(f"{n} {state}" for state, n in counts.items()), markup=False)
    confirmed = sweep.spec.confirmations and result.best and not result.interrupted
    if result.confirmation:
        console.print()
        console.print(confirmation_table(sweep, result.ledger, result.confirmation))
        for row in result.confirmation:
            if row.verdict == "not resolved":
                console.print(f"{row.name}: {row.words}", markup=False)
    if confirmed and not confirmed_cells(sweep, result.ledger)[0]:
        console.print(NOTHING_ELSE, markup=False)
    # with the full path of Python: after `make demo` .venv is not activated
    command = f"{shlex.quote(sys.executable)} -m raymoco ui {shlex.quote(str(result.folder))}"
    console.print(f"\ncompare  {command}", markup=False)
    page = SweepFolder(result.folder).report("html")
    if page.exists():
        console.print(f"report   {page}", markup=False)
    console.print(f"files    ls {shlex.quote(str(result.folder))}", markup=False)
