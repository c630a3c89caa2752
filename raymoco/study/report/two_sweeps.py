"""The comparison of two sweeps: the differences of their files and of their results."""

from __future__ import annotations

import difflib
from typing import Any

from raymoco.metrics import describe, while_training
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.report.comparison_table import drawn, judged_grid
from raymoco.study.report.conclusions import covered, in_words
from raymoco.study.report.document import Document, Grid, Section
from raymoco.study.report.findings import Findings, cell_groups
from raymoco.study.report.forest_plot import forest
from raymoco.study.report.labels import judged_in, metric_name, number
from raymoco.study.report.outcome_sections import (
    mcnemar_columns,
    mcnemar_row,
    outcome_notes,
)
from raymoco.study.report.run_charts import learning_curves
from raymoco.study.report.series_styles import CellStyles
from raymoco.study.statistics.effects import Contrast
from raymoco.study.statistics.items import mcnemar
from raymoco.study.statistics.judged import Judged, judge
from raymoco.study.statistics.outcomes import joined
from raymoco.study.statistics.paired import cell_mean
from raymoco.study.statistics.scores import compared_trials, failed_seeds, scores_by_cell
from raymoco.study.sweepfile.sections import CONFIRMED, DEFAULT


def build_comparison(first: Findings, second: Findings) -> Document:
    """Build the report of two sweeps: their common cells paired by seed, and their best trials."""
    metric = _metric(first)
    one, two = told_apart(first, second)
    common = _judged(first, second, metric) if metric == _metric(second) else []
    sections = [
        _pairs(first, second, common),
        _single_runs(first, second, common),
        _means(first, second),
        _curves(first, second),
        _files(first, second),
    ]
    said = _answer(first, second, common)
    return Document(f"{two} against {one}", "", said, [s for s in sections if not s.empty], "")


def told_apart(first: Findings, second: Findings) -> tuple[str, str]:
    """Return labels of two sweeps: their names, or the differing parts of their folders."""
    one, two = first.name, second.name
    paths = [findings.folder.absolute().parts for findings in (first, second)]
    for count in range(1, max(map(len, paths)) + 1):
        if one != two:
            break
        one, two = ("/".join(parts[-count:]) for parts in paths)
    return one, two


def _metric(findings: Findings) -> str:
    return findings.metric if findings.comparisons is not None else CONFIRMED


def _higher(findings: Findings) -> bool:
    return findings.higher if findings.comparisons is not None else describe(CONFIRMED).higher


def _cells(findings: Findings) -> dict[str, dict[str, Any]]:
    """Return the values of the cells that have trials and can be compared across sweeps.

    For a search only the default: `t000` is a different trial in every search.
    """
    known = {DEFAULT: dict[str, Any]()}
    if findings.search is not None and findings.search.confirm is not None:
        known |= findings.search.confirm.against
    if findings.ablation is not None:
        known = {cell.name: cell.values for cell in findings.ablation.cells}
    tried = dict.fromkeys(trial.cell for trial in compared_trials(findings.ledger.all()))
    return {cell: known[cell] for cell in tried if cell in known}


def _judged(first: Findings, second: Findings, metric: str) -> list[Judged]:
    """Compare the cells that both sweeps have, by name and values: the second minus the first."""
    before, after = _cells(first), _cells(second)
    scores: dict[str, dict[int, float]] = {}
    failed: dict[str, set[int]] = {}
    contrasts = []
    for cell in after:
        if before.get(cell) != after[cell]:
            continue
        contrasts.append(Contrast(cell, {}, {}, {f"2/{cell}": 1.0, f"1/{cell}": -1.0}))
        paired = _seeds(first, cell) & _seeds(second, cell)
        for book, findings in (("1", first), ("2", second)):
            scores[f"{book}/{cell}"] = scores_by_cell(findings.ledger, metric).get(cell, {})
            lost = failed_seeds(findings.ledger, metric).get(cell, set())
            failed[f"{book}/{cell}"] = lost & paired
    outcomes = joined({"1": first.outcomes, "2": second.outcomes})
    return judge(
        contrasts,
        scores,
        failed,
        higher=_higher(first),
        outcomes=outcomes,
        tuning_of=_tuning_of(first, second),
    )


def _tuning_of(first: Findings, second: Findings) -> dict[int, int] | None:
    """Return which seeds share a tuning in either sweep; None where neither has several tunings."""
    maps = [f.ablation.tuning_of for f in (first, second) if f.ablation is not None]
    several = [tuning_of for tuning_of in maps if tuning_of is not None]
    group = {seed: seed for tuning_of in several for seed in tuning_of}
    for tuning_of in several:
        for tuning in set(tuning_of.values()):
            shared = {group[seed] for seed in tuning_of if tuning_of[seed] == tuning}
            group = {s: min(shared) if g in shared else g for s, g in group.items()}
    return group if several else None


def _seeds(findings: Findings, cell: str) -> set[int]:
    return {trial.seed for trial in compared_trials(findings.ledger.all()) if trial.cell == cell}


def _answer(first: Findings, second: Findings, common: list[Judged]) -> list[str]:
    one, two = told_apart(first, second)
    metric = _metric(first)
    if metric != _metric(second):
        return [
            f"{one} was judged by {metric_name(metric)} and {two} by "
            f"{metric_name(_metric(second))}: nothing can be compared."
        ]
    said = [in_words(f"{two} instead of {one}, in {row.name}", row) for row in common]
    before, after = _cells(first), _cells(second)
    changed = [cell for cell in after if cell in before and before[cell] != after[cell]]
    if changed:
        said.append(f"Left out, for they set other values in each: {', '.join(changed)}.")
    if not common:
        return [
            *said,
            "They have no cell in common, so nothing is paired; the tables stand side by side.",
        ]
    said.append(
        f"Differences are in {judged_in(metric, _higher(first))}, {two} minus {one}, paired by "
        "cell and seed. What else differs between the two files is listed below: a difference may "
        "come from any of it."
    )
    images = first.judged_images(metric)
    levels = [
        score
        for findings in (first, second)
        for cell, by_seed in scores_by_cell(findings.ledger, metric).items()
        for score in by_seed.values()
        if cell in {row.name for row in common}
    ]
    same = images if images == second.judged_images(metric) else None
    return [*said, *covered(common, metric, same, levels)]


def _pairs(first: Findings, second: Findings, common: list[Judged]) -> Section:
    if not common:
        return Section("Common cells")
    one, two = told_apart(first, second)
    figure = forest(
        common,
        "differences",
        f"{two} against {one}",
        "The same cell and seed in both sweeps, with unadjusted 95 % t-intervals.",
        _metric(first),
        higher=_higher(first),
    )
    return Section(
        "Common cells", [], [judged_grid("cell", common, "One Holm family.")], drawn(figure)
    )


def _single_runs(first: Findings, second: Findings, common: list[Judged]) -> Section:
    """Each pair of runs of one cell and seed, image by image."""
    one, two = told_apart(first, second)
    both = joined({"1": first.outcomes, "2": second.outcomes})
    section = Section("Run by run, image by image", outcome_notes(both))
    rows = []
    for name in (row.name for row in common):
        before, after = (both.by_cell.get(f"{part}/{name}", {}) for part in ("1", "2"))
        for seed in sorted(before.keys() & after.keys()):
            found = mcnemar(after[seed].correct, before[seed].correct)
            rows.append([name, str(seed), *mcnemar_row(found)])
    if rows:
        columns = ["cell", "seed", *mcnemar_columns(two, one)]
        caption = (
            f"{metric_name(_metric(first))} of single runs, {two} against {one}; p: McNemar's "
            "exact test, each for itself. It takes the two runs as they are: another seed may "
            "decide otherwise"
        )
        section.grids.append(Grid(columns, rows, caption, frozenset(columns[1:])))
    return section


def _curves(first: Findings, second: Findings) -> Section:
    metric = _metric(first)
    groups = {
        f"{name}: {cell}": trials
        for name, findings in zip(told_apart(first, second), (first, second), strict=True)
        for cell, trials in cell_groups(findings).items()
    }
    figure = learning_curves(groups, while_training(metric), CellStyles(higher=_higher(first)))
    return Section("Learning curves", drawings=drawn(figure))


def _means(first: Findings, second: Findings) -> Section:
    rows = []
    for name, findings in zip(told_apart(first, second), (first, second), strict=True):
        metric = _metric(findings)
        for cell, by_seed in scores_by_cell(findings.ledger, metric).items():
            mean = cell_mean(list(by_seed.values()))
            assert mean is not None
            rows.append(
                [name, cell, metric_name(metric), str(mean.n), number(mean.mean), number(mean.std)]
            )
        if findings.search is not None and findings.best:
            best = findings.best[0]
            score = number(best.score(findings.metric))
            rows.append(
                [name, f"best trial {best.trial_id}", metric_name(findings.metric), "1", score, ""]
            )
    columns = ["sweep", "cell", "metric", "seeds", "mean", "std"]
    numeric = frozenset({"seeds", "mean", "std"})
    return Section("Both sweeps", grids=[Grid(columns, rows, "", numeric)] if rows else [])


def _files(first: Findings, second: Findings) -> Section:
    before, after = (
        SweepFolder(findings.folder).spec.read_text(encoding="utf-8").splitlines()
        for findings in (first, second)
    )
    one, two = told_apart(first, second)
    changed = [line for line in difflib.ndiff(before, after) if line.startswith(("- ", "+ "))]
    rows = [[one if line[0] == "-" else two, line[2:].strip()] for line in changed]
    if not rows:
        return Section("What differs in the files", ["Nothing."])
    return Section("What differs in the files", grids=[Grid(["sweep", "line"], rows)])
