"""The sections of a search: confirmation, best trials, figures along the axes, importance."""

from __future__ import annotations

from raymoco.metrics import TEST_LINEAR, with_results
from raymoco.study.journal.ranking import pareto_front
from raymoco.study.report.comparison_table import drawn, judged_grid, numeric
from raymoco.study.report.document import Grid, Section
from raymoco.study.report.findings import Findings
from raymoco.study.report.forest_plot import forest
from raymoco.study.report.labels import axis_label, counted, interval, metric_name, number, settings
from raymoco.study.report.search_charts import (
    best_curve,
    front_chart,
    importance_chart,
    parallel_coordinates,
    slices,
)
from raymoco.study.report.thinning import LISTED, thinned, told
from raymoco.study.statistics.confirmation import confirmed_cells
from raymoco.study.statistics.importance import FEWEST
from raymoco.study.statistics.paired import cell_mean
from raymoco.study.statistics.scores import compared_trials, scores_by_cell
from raymoco.study.statistics.stopping import repeats_words
from raymoco.study.sweepfile.axis import format_value
from raymoco.study.sweepfile.sections import CONFIRMED, DEFAULT

BEST_SHOWN = 10


def search_sections(findings: Findings) -> list[Section]:
    """Return the sections of a search."""
    return [
        _confirmation(findings),
        _best(findings),
        _front(findings),
        *_along_the_axes(findings),
    ]


def _front(findings: Findings) -> Section:
    objectives = findings.sweep.objectives
    front = pareto_front(findings.searched, objectives)
    if len(objectives) < 2 or not front:
        return Section("Pareto front")
    metrics = [objective.metric for objective in objectives]
    columns = ["trial", *map(metric_name, metrics), "sets"]
    rows = [
        [trial.trial_id, *(number(trial.score(metric)) for metric in metrics),
         settings(trial.values)]
        for trial in thinned(front, LISTED)
    ]  # fmt: skip
    caption = "Completed trials that no other one beats in all objectives"
    caption += told(len(rows), len(front)).rstrip(".")
    return Section(
        "Pareto front",
        grids=[Grid(columns, rows, caption, numeric(columns))],
        drawings=drawn(front_chart(findings.searched, front, objectives)),
    )


def _confirmation(findings: Findings) -> Section:
    if not findings.confirmation:
        return Section("Confirmation on the test set")
    values = {trial.cell: trial.values for trial in compared_trials(findings.ledger.all())}
    trials, baselines = confirmed_cells(findings.sweep, findings.ledger)
    whom = "The best of the search and the default"
    if baselines:
        whom = f"The best of the search, the default and {' and '.join(baselines)}"
    grid = judged_grid("comparison", findings.confirmation, "One Holm family.")
    metrics = [
        metric for metric in (CONFIRMED, TEST_LINEAR) if scores_by_cell(findings.ledger, metric)
    ]
    rows = []
    for cell in (*trials, DEFAULT, *baselines):
        row = [cell]
        for metric in metrics:
            scores = list(scores_by_cell(findings.ledger, metric).get(cell, {}).values())
            mean = cell_mean(scores)
            row += [str(len(scores))] if metric == CONFIRMED else []
            row += [number(mean.mean), interval(mean.low, mean.high)] if mean else ["", ""]
        rows.append([*row, settings(values.get(cell, {}))])
    columns = ["cell", "seeds"]
    for metric in metrics:
        columns += [metric_name(metric), f"{metric_name(metric)}, 95 %"]
    columns.append("sets")
    cells = Grid(columns, rows, "Means over fresh seeds", numeric(columns))
    return Section(
        "Confirmation on the test set",
        [f"{whom}, trained again with seeds that chose nothing."],
        [cells, grid],
        drawn(
            forest(
                findings.confirmation,
                "confirmation",
                "What was confirmed",
                "Paired differences on the test set, fresh seeds, unadjusted 95 % t-intervals. "
                "Filled: resolved after Holm's adjustment.",
                CONFIRMED,
            )
        ),
    )


def _best(findings: Findings) -> Section:
    spec = findings.search
    assert spec is not None
    reported = dict.fromkeys(name for trial in findings.best for name in trial.final)
    metrics = with_results(findings.metric, reported=reported)
    repeated = spec.repeats > 1
    columns = ["trial", *["seeds"] * repeated, *(axis_label(key) for key in spec.search)]
    columns += map(metric_name, metrics)
    rows = [
        [
            trial.trial_id,
            *[str(trial.seeds)] * repeated,
            *(format_value(trial.values.get(key, "")) for key in spec.search),
            *(number(trial.score(metric)) for metric in metrics),
        ]
        for trial in findings.best[:BEST_SHOWN]
    ]
    if not rows:
        return Section("Best trials")
    caption = f"The first {len(rows)} of {len(findings.best)} by {metric_name(findings.metric)}"
    if repeated:
        caption += ", means over seeds"
    said = repeats_words(findings.sweep, findings.ledger)
    return Section(
        "Best trials",
        [f"{said}."] if said else [],
        [Grid(columns, rows, caption, frozenset(columns[1:]))],
    )


def _along_the_axes(findings: Findings) -> list[Section]:
    spec = findings.search
    assert spec is not None
    trials = findings.searched
    across = Section(
        "Where the trials lay",
        drawings=[
            *drawn(
                best_curve(trials, spec.objective),
                parallel_coordinates(trials, spec.search, spec.objective),
            ),
            *slices(trials, spec.search, spec.objective),
        ],
    )
    importance = Section("Importance of the axes")
    if findings.importance is None:
        importance.sentences.append(f"Not estimated: {_why_not(findings)}.")
    else:
        columns = ["axis", "share", "95 % bootstrap interval"]
        rows = [
            [axis_label(one.axis), number(one.share, 2), interval(one.low, one.high, 2)]
            for one in findings.importance
        ]
        caption = f"PED-ANOVA over {counted(len(findings.best), 'completed trial')}"
        importance.grids.append(Grid(columns, rows, caption, numeric(columns)))
        importance.drawings.append(importance_chart(findings.importance))
    return [across, importance]


def _why_not(findings: Findings) -> str:
    """Return the reason why no importance was estimated."""
    assert findings.search is not None
    if findings.search.scheduler.population:
        return "a population changes its values during training, so none of them stands for a trial"
    if len(findings.best) < FEWEST:
        done = counted(len(findings.best), "trial")
        return f"{done} completed, {FEWEST} are the fewest that it means anything for"
    return "no axis sets the best trials apart from the others"
