"""Two sweeps against each other: what differs in their files, and what that did."""

from __future__ import annotations

import difflib

from raymoco.study.comparisons import Judged, judge, scores_by_cell
from raymoco.study.confirm import METRIC as CONFIRMED
from raymoco.study.effects import Contrast
from raymoco.study.report.answer import in_words
from raymoco.study.report.document import Document, Grid, Section
from raymoco.study.report.findings import Findings, cell_groups
from raymoco.study.report.forest import forest
from raymoco.study.report.parts import judged_grid
from raymoco.study.report.run_charts import learning_curves
from raymoco.study.report.series import Cast
from raymoco.study.report.wording import metric_name, number
from raymoco.study.statistics import cell_mean


def build_comparison(first: Findings, second: Findings) -> Document:
    """The report of two sweeps: their common cells paired by seed, and their bests."""
    metric = _metric(first)
    common = _common(first, second, metric)
    names = f"{second.name} against {first.name}"
    said = [
        in_words(f"{second.name} instead of {first.name}, in {row.name}", row) for row in common
    ]
    if metric != _metric(second):
        said = [
            f"{first.name} was judged by {metric_name(metric)} and {second.name} by "
            f"{metric_name(_metric(second))}: nothing can be compared."
        ]
    elif not common:
        said = ["They have no cell in common, so nothing is paired; the tables stand side by side."]
    else:
        said.append(
            f"Differences are in {metric_name(metric)}, {second.name} minus {first.name}, paired "
            "by cell and seed. What else differs between the two files is listed below: a "
            "difference may come from any of it."
        )
    pairs = Section("Common cells")
    if common:
        pairs.grids.append(judged_grid("cell", common, "One Holm family."))
        drawn = forest(
            common,
            "differences",
            names,
            "The same cell and seed in both sweeps, with unadjusted 95 % t-intervals.",
            metric,
        )
        pairs.drawings += [drawn] if drawn is not None else []
    curves = Section("Learning curves")
    measured = "eval/knn_top1" if metric.startswith("test/") else metric
    groups = {
        f"{findings.name}: {name}": trials
        for findings in (first, second)
        for name, trials in cell_groups(findings).items()
    }
    drawn = learning_curves(groups, measured, Cast(first.higher))
    curves.drawings += [drawn] if drawn is not None else []
    sections = [pairs, _means(first, second), curves, _files(first, second)]
    return Document(names, "", said, [s for s in sections if not s.empty], "")


def _metric(findings: Findings) -> str:
    return findings.metric if findings.comparisons is not None else CONFIRMED


def _common(first: Findings, second: Findings, metric: str) -> list[Judged]:
    if metric != _metric(second):
        return []
    books = {f.name + str(n): f for n, f in enumerate((first, second))}
    scores: dict[str, dict[int, float]] = {}
    failed: dict[str, set[int]] = {}
    for book, findings in books.items():
        for cell, by_seed in scores_by_cell(findings.ledger, metric).items():
            scores[f"{book}/{cell}"] = by_seed
        for trial in findings.ledger.all():
            if trial.state == "failed" and trial.cell and not trial.phase:
                failed.setdefault(f"{book}/{trial.cell}", set()).add(trial.seed)
    one, two = books
    cells = [key.removeprefix(f"{two}/") for key in scores if key.startswith(f"{two}/")]
    contrasts = [
        Contrast(cell, {}, {}, {f"{two}/{cell}": 1.0, f"{one}/{cell}": -1.0})
        for cell in cells
        if f"{one}/{cell}" in scores
    ]
    higher = first.higher if first.comparisons is not None else True
    return judge(contrasts, scores, failed, higher=higher)


def _means(first: Findings, second: Findings) -> Section:
    rows = []
    for findings in (first, second):
        metric = _metric(findings)
        for cell, by_seed in scores_by_cell(findings.ledger, metric).items():
            mean = cell_mean(list(by_seed.values()))
            assert mean is not None
            rows.append(
                [findings.name, cell, metric_name(metric), str(mean.n), number(mean.mean),
                 number(mean.std)]
            )  # fmt: skip
        if findings.search is not None and findings.best:
            best = findings.best[0]
            score = number(best.final[findings.metric])
            rows.append(
                [findings.name, f"best trial {best.trial_id}", metric_name(findings.metric), "1",
                 score, ""]
            )  # fmt: skip
    columns = ["sweep", "cell", "metric", "seeds", "mean", "std"]
    numeric = frozenset({"seeds", "mean", "std"})
    return Section("Both sweeps", grids=[Grid(columns, rows, "", numeric)] if rows else [])


def _files(first: Findings, second: Findings) -> Section:
    before, after = (
        (findings.folder / "sweep.yaml").read_text(encoding="utf-8").splitlines()
        for findings in (first, second)
    )
    changed = [line for line in difflib.ndiff(before, after) if line.startswith(("- ", "+ "))]
    rows = [[first.name if line[0] == "-" else second.name, line[2:].strip()] for line in changed]
    if not rows:
        return Section("What differs in the files", ["Nothing."])
    return Section("What differs in the files", grids=[Grid(["sweep", "line"], rows)])
