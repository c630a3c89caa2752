"""Judge a search: its best against the default and the baselines, on the test set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raymoco.metrics import describe
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger
from raymoco.study.journal.ranking import ranked
from raymoco.study.statistics.comparisons import write_table
from raymoco.study.statistics.effects import Contrast
from raymoco.study.statistics.judged import FOUND, Judged, judge
from raymoco.study.statistics.outcomes import Outcomes
from raymoco.study.statistics.scores import compared_trials, failed_seeds, scores_by_cell
from raymoco.study.sweepfile.load import Sweep
from raymoco.study.sweepfile.sections import CONFIRMED, DEFAULT


def judge_confirmation(
    sweep: Sweep, ledger: Ledger, outcomes: Outcomes | None = None
) -> list[Judged]:
    """Compare a search's best with the default and the baselines, on the test set.

    Each confirmed trial is compared with the default, and the best of them and the default with
    each baseline of `confirm.against`: one family. It includes trials that were the best when an
    earlier driver ended, and those whose runs all failed, so that no confirmation is lost silently.

    Args:
        outcomes: per image, of CONFIRMED.
    Returns:
        An empty list without `confirm`, and before a pair has ended.
    """
    scores, failed = scores_by_cell(ledger, CONFIRMED), failed_seeds(ledger, CONFIRMED)
    if DEFAULT not in {*scores, *failed}:
        return []
    trials, baselines = confirmed_cells(sweep, ledger)
    pairs = [(trial, DEFAULT) for trial in trials]
    pairs += [(ours, other) for ours in (*trials[:1], DEFAULT) for other in baselines]
    contrasts = [
        Contrast(f"{one} against {other}", {}, {}, {one: 1.0, other: -1.0}) for one, other in pairs
    ]
    return judge(contrasts, scores, failed, higher=describe(CONFIRMED).higher, outcomes=outcomes)


def confirmed_cells(sweep: Sweep, ledger: Ledger) -> tuple[list[str], list[str]]:
    """Return the confirmed trials of a search, best first, and the baselines beside the default."""
    spec = sweep.search
    against = spec.confirm.against if spec is not None and spec.confirm is not None else {}
    cells = dict.fromkeys(trial.cell for trial in compared_trials(ledger.all()))
    places = {
        trial.trial_id: place
        for place, trial in enumerate(ranked(ledger.search_trials, sweep.spec.objective))
    }
    trials = [cell for cell in cells if cell != DEFAULT and cell not in against]
    trials.sort(key=lambda cell: places.get(cell, len(places)))
    return trials, [name for name in against if name in cells]


def write_confirmation(judged: Sequence[Judged], folder: Path) -> None:
    """Write comparisons.csv of a search: a row per comparison of its confirmation, if any."""
    rows = []
    for row in judged:
        one, other = sorted(row.contrast.weights, key=lambda cell: -row.contrast.weights[cell])
        rows.append([one, other, *row.row()])
    if rows:
        write_table(SweepFolder(folder).comparisons, ("cell", "baseline", *FOUND), rows)
