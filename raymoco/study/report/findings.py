"""A sweep's results, read from its folder and computed once for the whole report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from raymoco.errors import DataError
from raymoco.metrics import describe
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger, TrialRecord, load_ledger
from raymoco.study.journal.ranking import ranked
from raymoco.study.statistics.comparisons import Comparisons, compare_cells
from raymoco.study.statistics.confirmation import judge_confirmation
from raymoco.study.statistics.importance import Importance, axis_importance
from raymoco.study.statistics.judged import Judged
from raymoco.study.statistics.outcomes import Outcomes
from raymoco.study.statistics.scores import compared_trials, outcomes_of
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.load import Sweep, read_sweep
from raymoco.study.sweepfile.search_spec import SearchSpec
from raymoco.study.sweepfile.sections import CONFIRMED, Objective


@dataclass(frozen=True)
class Findings:
    """A sweep and the results of its trials so far.

    Attributes:
        comparisons: of an ablation.
        confirmation: of a search with `confirm`: each of the best compared with the default, on the
            test set, with fresh seeds.
        importance: of a search with enough completed trials.
        outcomes: what the compared trials predicted for each image, in `judged_metric`.
    """

    folder: Path
    sweep: Sweep
    ledger: Ledger
    comparisons: Comparisons | None
    confirmation: list[Judged]
    importance: list[Importance] | None
    outcomes: Outcomes = Outcomes()  # noqa: RUF009 - it is frozen

    @property
    def judged_metric(self) -> str:
        """The metric of the comparison: an ablation's, or that which confirms a search."""
        return self.metric if self.comparisons is not None else CONFIRMED

    @property
    def name(self) -> str:
        return self.sweep.spec.name

    @property
    def objective(self) -> Objective:
        return self.sweep.spec.objective

    @property
    def metric(self) -> str:
        return self.objective.metric

    @property
    def higher(self) -> bool:
        return self.objective.mode == "max"

    @property
    def search(self) -> SearchSpec | None:
        """The spec of a search; None for an ablation."""
        return self.sweep.search

    @property
    def ablation(self) -> AblationSpec | None:
        """The spec of an ablation; None for a search."""
        return self.sweep.ablation

    @property
    def searched(self) -> list[TrialRecord]:
        """The trials of a search, without confirmations; of repeats their means."""
        return self.ledger.search_trials

    @property
    def best(self) -> list[TrialRecord]:
        """The completed trials of a search, best in the first objective first."""
        return ranked(self.searched, self.objective)

    def judged_images(self, metric: str) -> int | None:
        """The number of images in the metric's split; None if it was not recorded."""
        return self.ledger.images(describe(metric).split)


def read_findings(folder: Path) -> Findings:
    """Read a sweep's folder, finished or not.

    Raises:
        DataError: there is no sweep.
    """
    file = SweepFolder(folder).spec
    if not file.exists():
        raise DataError(f"{folder}: there is no {file.name}, so no sweep to report on.")
    return gather_findings(folder, read_sweep(file), load_ledger(SweepFolder(folder).journal))


def gather_findings(folder: Path, sweep: Sweep, ledger: Ledger) -> Findings:
    """Compute the findings of a sweep from its ledger."""
    search = sweep.search
    importance, confirmed, outcomes = None, list[Judged](), Outcomes()
    if search is not None:
        trials = ledger.search_trials
        # a population's values change during training: no single value stands for a trial
        if not search.scheduler.population:
            importance = axis_importance(trials, search.search, search.objective)
        outcomes = outcomes_of(folder, ledger, CONFIRMED)
        confirmed = judge_confirmation(sweep, ledger, outcomes)
    compared = compare_cells(sweep, ledger, folder)
    if compared is not None:
        outcomes = compared.outcomes
    return Findings(folder, sweep, ledger, compared, confirmed, importance, outcomes)


def curve(trial: TrialRecord, metric: str) -> dict[int, float]:
    """Return a metric by epoch, where it was measured."""
    return {
        epoch: float(row[metric])
        for epoch, row in sorted(trial.rows.items())
        if math.isfinite(row.get(metric, math.nan))
    }


def cell_groups(findings: Findings) -> dict[str, list[TrialRecord]]:
    """Return the completed trials of the comparison, by cell, in the order of the design."""
    comparisons = findings.comparisons
    named = [cell.name for cell in comparisons.cells] if comparisons is not None else []
    groups: dict[str, list[TrialRecord]] = {name: [] for name in named}
    for trial in compared_trials(findings.ledger.all()):
        if trial.completed:
            groups.setdefault(trial.cell, []).append(trial)
    return groups
