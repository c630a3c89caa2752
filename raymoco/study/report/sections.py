"""The sections of a report: what stands in its tables, which figures go with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from raymoco.study.comparisons import Judged, compared_trials
from raymoco.study.confirm import METRIC as CONFIRMED
from raymoco.study.journal import ENDED, TrialRecord
from raymoco.study.report.ablation_charts import forest, interaction_plots
from raymoco.study.report.answer import answer
from raymoco.study.report.document import Document, Drawing, Grid, Section
from raymoco.study.report.findings import Findings
from raymoco.study.report.run_charts import accuracy_against_speed, learning_curves, search_curves
from raymoco.study.report.search_charts import (
    best_curve,
    importance_chart,
    parallel_coordinates,
    slices,
)
from raymoco.study.report.wording import (
    axis_label,
    counted,
    interval,
    is_accuracy,
    metric_label,
    metric_name,
    number,
    p_value,
    settings,
)
from raymoco.study.space import format_value
from raymoco.study.statistics import binomial_reach
from raymoco.study.tuning import tuned_values, tuning_trials

BEST_SHOWN = 10
TESTED = ("test/knn_top1", "test/linear_top1")


def build_document(findings: Findings) -> Document:
    """The whole report of one sweep."""
    if findings.comparisons is not None:
        sections = [*_ablation_sections(findings), _curves(findings), _speed(findings)]
        sections.append(_tuning(findings))
    else:
        sections = [_confirmation(findings), _best(findings), *_search_sections(findings)]
        sections += [_curves(findings), _speed(findings)]
    sections += [_counts(findings), _circumstances(findings)]
    question = findings.ablation.question if findings.ablation is not None else ""
    return Document(
        findings.name,
        question,
        answer(findings),
        [section for section in sections if not section.empty],
        _state(findings),
    )


def _ablation_sections(findings: Findings) -> list[Section]:
    found, spec = findings.comparisons, findings.ablation
    assert found is not None
    assert spec is not None
    metric, margin = findings.metric, found.margin
    images = findings.judged_images(metric)
    columns = ["cell", "seeds", "mean", "std", "95 % interval"]
    sampled = is_accuracy(metric) and images is not None
    if sampled:
        columns.append("images +-")
    columns.append("sets")
    rows = []
    for cell in found.cells:
        mean = found.means[cell.name]
        row = [cell.name, "0", "", "", ""]
        if mean is not None:
            span = interval(mean.low, mean.high)
            row = [cell.name, str(mean.n), number(mean.mean), number(mean.std), span]
        if sampled:
            assert images is not None
            row.append(number(binomial_reach(mean.mean, images)) if mean is not None else "")
        rows.append([*row, settings(cell.values)])
    caption = f"{metric_label(metric)} over seeds"
    if sampled:
        caption += f"; images +-: half the binomial 95 % interval that {images:,} images leave"
    cells = Section("Cells", grids=[Grid(columns, rows, caption, _numeric(columns))])
    differences = Section(
        "Differences to the baseline",
        [f"The baseline is {found.baseline}."],
        [judged_grid("cell", list(found.rows.values()), "One Holm family.")],
        _drawn(
            forest(
                list(found.rows.values()),
                "differences",
                "Paired differences to the baseline",
                f"Cell minus {found.baseline}, seed by seed, with unadjusted 95 % t-intervals. "
                "Filled: resolved after Holm's adjustment." + _margin(margin),
                metric,
                margin,
            )
        ),
    )
    effects = Section("Factors", drawings=[])
    if len(found.effects) > 1 or spec.design != "one_at_a_time":
        effects.grids.append(judged_grid("effect", found.effects, "A Holm family of its own."))
        effects.drawings += _drawn(
            forest(
                found.effects,
                "effects",
                "Main effects and interactions",
                "factor=level against the factor's baseline level, over all pairs of cells that "
                "differ in nothing else; with x: how much more the one gives where the other is "
                "set too. Per-seed contrasts with unadjusted 95 % t-intervals." + _margin(margin),
                metric,
                margin,
            )
        )
        effects.drawings += interaction_plots(found)
    return [cells, differences, effects]


def _search_sections(findings: Findings) -> list[Section]:
    spec = findings.search
    assert spec is not None
    trials = findings.searched
    across = Section(
        "Where the trials lay",
        drawings=[
            *_drawn(
                best_curve(trials, spec.objective),
                parallel_coordinates(trials, spec.search, spec.objective),
            ),
            *slices(trials, spec.search, spec.objective),
        ],
    )
    importance = Section("Importance of the axes")
    if findings.importance is None:
        importance.sentences.append(
            f"Not estimated: {counted(len(findings.best), 'trial')} completed, 20 are the fewest "
            "that it means anything for."
        )
    else:
        columns = ["axis", "share", "95 % bootstrap interval"]
        rows = [
            [axis_label(one.axis), number(one.share, 2), interval(one.low, one.high, 2)]
            for one in findings.importance
        ]
        caption = f"PED-ANOVA over {counted(len(findings.best), 'completed trial')}"
        importance.grids.append(Grid(columns, rows, caption, _numeric(columns)))
        importance.drawings.append(importance_chart(findings.importance))
    return [across, importance]


def _best(findings: Findings) -> Section:
    spec = findings.search
    assert spec is not None
    metrics = list(dict.fromkeys([findings.metric, *TESTED]))
    columns = ["trial", *(axis_label(key) for key in spec.search), *map(metric_name, metrics)]
    rows = [
        [
            trial.trial_id,
            *(format_value(trial.values.get(key, "")) for key in spec.search),
            *(number(trial.final.get(metric)) for metric in metrics),
        ]
        for trial in findings.best[:BEST_SHOWN]
    ]
    if not rows:
        return Section("Best trials")
    caption = f"The first {len(rows)} of {len(findings.best)} by {metric_name(findings.metric)}"
    return Section("Best trials", grids=[Grid(columns, rows, caption, frozenset(columns[1:]))])


def _confirmation(findings: Findings) -> Section:
    if not findings.confirmation:
        return Section("Confirmation on the test set")
    confirming = compared_trials(findings.ledger.all())
    cells = dict.fromkeys(trial.cell for trial in confirming)
    values = {trial.cell: trial.values for trial in confirming}
    grid = judged_grid("against default", findings.confirmation, "One Holm family.")
    set_by = Grid(["cell", "sets"], [[cell, settings(values[cell])] for cell in sorted(cells)])
    return Section(
        "Confirmation on the test set",
        ["The best of the search and the default, trained again with seeds that chose nothing."],
        [grid, set_by],
        _drawn(
            forest(
                findings.confirmation,
                "confirmation",
                "The best against the default",
                "Paired differences on the test set, fresh seeds, unadjusted 95 % t-intervals. "
                "Filled: resolved after Holm's adjustment.",
                CONFIRMED,
            )
        ),
    )


def _curves(findings: Findings) -> Section:
    metric = findings.metric
    if metric.startswith("test/"):  # measured once, at the end
        metric = "eval/knn_top1"
    if findings.comparisons is None:
        return Section("Learning curves", drawings=_drawn(search_curves(findings.searched, metric)))
    return Section(
        "Learning curves", drawings=_drawn(learning_curves(cell_groups(findings), metric))
    )


def _speed(findings: Findings) -> Section:
    groups = cell_groups(findings) if findings.comparisons else {"trials": findings.searched}
    drawn = accuracy_against_speed(groups, findings.metric, higher=findings.higher)
    return Section("Accuracy against speed", drawings=_drawn(drawn))


def _tuning(findings: Findings) -> Section:
    spec, found = findings.ablation, findings.comparisons
    section = Section("What was tuned")
    assert found is not None
    if spec is None or spec.tune is None:
        section.sentences.append(
            "Nothing: every cell ran at the sweep file's own values, which may suit one cell "
            "better than another."
        )
        return section
    axes, metric = spec.tune.axes, spec.tuned_on.metric
    section.sentences.append(
        f"In each cell the same {spec.tune.trials} settings of {', '.join(axes)} were tried with "
        f"seed {spec.tune.seed}, and the best by {metric_name(metric)} was taken."
    )
    chosen = tuned_values(spec, findings.ledger)
    columns = ["cell", "completed", *(axis_label(key) for key in axes), "score"]
    rows = []
    for cell in found.cells:
        done = [t for t in tuning_trials(findings.ledger, cell.name) if t.state == "completed"]
        values = chosen[cell.name]
        scores = [
            trial.final[metric]
            for trial in done
            if values and all(trial.values[key] == value for key, value in values.items())
        ]
        shown = [format_value(values[key]) if values else "" for key in axes]
        score = number(scores[0]) if scores else ""
        rows.append([cell.name, f"{len(done)} of {spec.tune.trials}", *shown, score])
    caption = f"What each cell was tuned to; score: {metric_name(metric)} of the tuning trial"
    section.grids.append(Grid(columns, rows, caption, frozenset(columns[1:])))
    lost = [name for name, values in chosen.items() if values is None]
    if lost:
        section.sentences.append(
            f"No tuning trial was completed in {', '.join(lost)}: left out of the comparison."
        )
    return section


def _counts(findings: Findings) -> Section:
    trials = findings.ledger.all()
    phases: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        phases.setdefault(_phase(findings, trial), []).append(trial)
    states = [*ENDED, *sorted({t.state for t in trials} - set(ENDED))]
    columns = ["trials", *states, "all"]
    rows = [
        [name, *(str(sum(t.state == state for t in some)) for state in states), str(len(some))]
        for name, some in phases.items()
    ]
    section = Section("Trials")
    if rows:
        section.grids.append(Grid(columns, rows, "", frozenset(columns[1:])))
    reasons: dict[tuple[str, str], list[str]] = {}
    for trial in trials:
        if trial.reason:
            reasons.setdefault((trial.state, trial.reason), []).append(trial.trial_id)
    if reasons:
        listed = [
            [state, reason, str(len(ids)), ", ".join(ids[:6]) + (", ..." if len(ids) > 6 else "")]
            for (state, reason), ids in sorted(reasons.items())
        ]
        columns = ["state", "reason", "count", "trials"]
        section.grids.append(Grid(columns, listed, "Why trials ended early", frozenset({"count"})))
    spent = math.fsum(t.ended - t.began for t in trials if t.ended and t.began)
    if spent:
        section.sentences.append(f"All trials together took {spent / 60:.1f} minutes of gang time.")
    return section


def _circumstances(findings: Findings) -> Section:
    spec = findings.sweep.spec
    budget = f"{spec.budget.concurrent} at once"
    rows = [["run", f"{findings.sweep.base.epochs} epochs each, {budget}"]]
    begun = findings.ledger.begun
    for turn, known in enumerate(begun):
        if not turn or known != begun[turn - 1]:  # a resume on the same machine says nothing new
            rows += [[_plain(name), value] for name, value in known.items()]
    return Section("What ran on what", grids=[Grid(["", "value"], rows)])


def judged_grid(first: str, rows: Sequence[Judged], family: str) -> Grid:
    """Comparisons of one family as a table; `first` is the head of the column of names."""
    columns = [first, "seeds", "difference", "95 % interval", "p", "p Holm", "verdict", "needed"]
    if any(row.failed for row in rows):
        columns.append("pairs lost")
    table = []
    for row in rows:
        found = row.difference
        shown = ["0", "", "", "", ""]
        if found is not None:
            shown = [
                str(found.n),
                number(found.difference, sign=True),
                interval(found.low, found.high, sign=True),
                p_value(found.p),
                p_value(row.p_holm),
            ]
        needed = "" if row.seeds is None else str(row.seeds)
        table.append([row.name, *shown, row.verdict, needed, str(row.failed)][: len(columns)])
    caption = f"{family} needed: seeds that would resolve a difference of this size (80 % power)"
    return Grid(columns, table, caption, frozenset(columns[1:6]) | {"needed", "pairs lost"})


def cell_groups(findings: Findings) -> dict[str, list[TrialRecord]]:
    """The completed trials that are compared, by cell, in the order of the design."""
    comparisons = findings.comparisons
    named = [cell.name for cell in comparisons.cells] if comparisons is not None else []
    groups: dict[str, list[TrialRecord]] = {name: [] for name in named}
    for trial in compared_trials(findings.ledger.all()):
        if trial.state == "completed":
            groups.setdefault(trial.cell, []).append(trial)
    return groups


def _phase(findings: Findings, trial: TrialRecord) -> str:
    if trial.phase:
        return trial.phase
    if findings.search is None:
        return "compare"
    return "confirm" if trial.cell else "search"


def _state(findings: Findings) -> str:
    ends = [trial.ended for trial in findings.ledger.all() if trial.ended]
    if not ends:
        return "no trial has ended"
    return f"state of {datetime.fromtimestamp(max(ends), UTC):%Y-%m-%d %H:%M} UTC"


def _plain(tag: str) -> str:
    return tag.removeprefix("mlflow.source.").removeprefix("raymoco.").replace("_", " ")


def _margin(margin: float | None) -> str:
    return "" if margin is None else f" Shaded: differences up to {margin}, which are negligible."


def _numeric(columns: Sequence[str]) -> frozenset[str]:
    return frozenset(columns[1:]) - {"sets", "verdict"}


def _drawn(*drawings: Drawing | None) -> list[Drawing]:
    return [drawing for drawing in drawings if drawing is not None]
