"""The sections of an ablation: cells, differences, factors, and what was tuned."""

from __future__ import annotations

from itertools import product

from raymoco.engine.reach import binomial_reach
from raymoco.metrics import describe
from raymoco.study.proposals.cell_tuning import tuned_values, tuning_trials
from raymoco.study.report.comparison_table import drawn, judged_grid, margin_grids, numeric
from raymoco.study.report.document import Grid, Section
from raymoco.study.report.findings import Findings
from raymoco.study.report.forest_plot import forest
from raymoco.study.report.interaction_charts import interaction_plots
from raymoco.study.report.labels import (
    axis_label,
    interval,
    metric_label,
    metric_name,
    number,
    settings,
)
from raymoco.study.report.look_sections import looks_section
from raymoco.study.report.series_styles import figure_names
from raymoco.study.sweepfile.axis import format_value


def ablation_sections(findings: Findings) -> list[Section]:
    """Return sections of cell means, differences to the baseline, effects, and the looks."""
    found, spec = findings.comparisons, findings.ablation
    assert found is not None
    assert spec is not None
    metric, margin = findings.metric, found.margin
    images = findings.judged_images(metric)
    columns = ["cell", "seeds", "mean", "std", "95 % interval"]
    sampled = describe(metric).is_accuracy and images is not None
    if sampled:
        columns.append("images +-")
    columns.append("sets")
    rows = []
    for cell in found.cells:
        mean = found.means[cell.name]
        row = [cell.name, "0", "", "", ""]
        if mean is not None:
            span = interval(mean.low, mean.high)
            row = [cell.name, mean.size, number(mean.mean), number(mean.std), span]
        if sampled:
            assert images is not None
            row.append(number(binomial_reach(mean.mean, images)) if mean is not None else "")
        rows.append([*row, settings(cell.values)])
    over = "over seeds" if found.tuning_of is None else "over the means per tuning"
    caption = f"{metric_label(metric)} {over}"
    if sampled:
        caption += f"; images +-: half the binomial 95 % interval that {images:,} images leave"
    cells = Section("Cells", grids=[Grid(columns, rows, caption, numeric(columns))])
    differences = Section(
        "Differences to the baseline",
        [f"The baseline is {found.baseline}."],
        [
            judged_grid("cell", list(found.rows.values()), "One Holm family."),
            *margin_grids("cell", list(found.rows.values())),
        ],
        drawn(
            forest(
                list(found.rows.values()),
                "differences",
                "Paired differences to the baseline",
                f"Cell minus {found.baseline}, seed by seed, with unadjusted 95 % t-intervals. "
                "Filled: resolved after Holm's adjustment." + _margin(margin),
                metric,
                higher=found.higher,
                margin=margin,
                names=figure_names(found.cells),
            )
        ),
    )
    effects = Section("Factors", drawings=[])
    if len(found.effects) > 1 or spec.design != "one_at_a_time":
        effects.grids.append(judged_grid("effect", found.effects, "A Holm family of its own."))
        effects.grids += margin_grids("effect", found.effects)
        effects.drawings += drawn(
            forest(
                found.effects,
                "effects",
                "Main effects and interactions",
                "factor=level against the factor's baseline level, over all pairs of cells that "
                "differ in nothing else; with x: how much more the one gives where the other is "
                "set too. Per-seed contrasts with unadjusted 95 % t-intervals." + _margin(margin),
                metric,
                higher=found.higher,
                margin=margin,
            )
        )
        effects.drawings += interaction_plots(found)
    return [cells, differences, effects, looks_section(findings)]


def tuning_section(findings: Findings) -> Section:
    """Return a section with each cell's tuned values, or a note that nothing was tuned."""
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
    tunings, several = spec.tune.tunings, spec.tuning_of is not None
    tried = (
        f"In each cell the same {spec.tune.trials} settings of {', '.join(axes)} were tried with "
    )
    if several:
        tried += (
            f"each of {len(tunings)} tuning seeds, drawn anew for each, and each took its best by "
            f"{metric_name(metric)} for {len(spec.seeds) // len(tunings)} of the {len(spec.seeds)} "
            "seeds. Seeds that share a tuning are not independent: the intervals are over tunings."
        )
    else:
        tried += (
            f"seed {tunings[0]}, and the best by {metric_name(metric)} was taken. The luck of "
            "tuning is not in these intervals: `tune.seeds` tunes anew with several seeds."
        )
    section.sentences.append(tried)
    if any(len(spec.tuned_in(cell)) < len(axes) for cell in found.cells):
        section.sentences.append(
            "A value that a cell's level sets was not tuned there, and a cell without any other "
            "has no tuning trials."
        )
    by_tuning = {seed: tuned_values(spec, findings.ledger, seed) for seed in tunings}
    columns = ["cell", "completed", *(axis_label(key) for key in axes), "score"]
    if several:
        columns.insert(1, "tuning seed")
    rows = []
    for cell, seed in product(found.cells, tunings):
        done = [t for t in tuning_trials(findings.ledger, cell.name, seed) if t.completed]
        values, own = by_tuning[seed][cell.name], spec.tuned_in(cell)
        scores = [
            trial.score(metric)
            for trial in done
            if values and all(trial.values[key] == value for key, value in values.items())
        ]
        shown = [
            (format_value(values[key]) if values else "")
            if key in own
            else f"{format_value(cell.values[key])}, as its level says"
            for key in axes
        ]
        score = number(scores[0]) if scores else ""
        which = [str(seed)] if several else []
        rows.append(
            [
                cell.name,
                *which,
                f"{len(done)} of {spec.tune.settings(own) if own else 0}",
                *shown,
                score,
            ]
        )
    caption = f"What each cell was tuned to; score: {metric_name(metric)} of the tuning trial"
    section.grids.append(Grid(columns, rows, caption, frozenset(columns[1:])))
    lost = [
        f"{name} with seed {seed}" if several else name
        for seed, chosen in by_tuning.items()
        for name, values in chosen.items()
        if values is None
    ]
    if lost:
        section.sentences.append(
            f"No tuning trial was completed in {', '.join(lost)}: left out of the comparison."
        )
    return section


def _margin(margin: float | None) -> str:
    return "" if margin is None else f" Shaded: differences up to the margin {margin}."
