"""What the runs of a sweep predicted: accuracy by class, and which classes they confuse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raymoco.study.report.comparison_table import numeric
from raymoco.study.report.confusion_chart import MOST_CLASSES, confusion_chart
from raymoco.study.report.document import Drawing, Grid, Section
from raymoco.study.report.findings import Findings
from raymoco.study.report.labels import counted, metric_name, number, p_value
from raymoco.study.statistics.items import McNemar, class_accuracies, confusion, most_confused
from raymoco.study.statistics.judged import Judged
from raymoco.study.statistics.outcomes import Outcomes
from raymoco.study.sweepfile.sections import DEFAULT

MOST_CELLS = 6  # columns of a table
FURTHEST = 10  # classes of a long list, from either end
PAIRS = 12
NAMED = 6  # trials in a sentence


def outcome_sections(findings: Findings) -> list[Section]:
    """Return a section on the compared cells of an ablation or of a confirmed search."""
    section = Section("Right and wrong, image by image")
    section.sentences += outcome_notes(findings.outcomes)
    if not findings.outcomes:
        # version 0.1 wrote none: that nothing is said over images is in the answer
        return [section] if findings.outcomes.problems else []
    cells = _shown(findings)
    judged = findings.confirmation
    if findings.comparisons is not None:
        judged = list(findings.comparisons.rows.values())
    section.grids += [*pair_grids(judged, findings), _by_class(findings, cells)]
    drawings, pairs = _confusions(findings, list(dict.fromkeys(cells[:2])))
    section.drawings += drawings
    section.grids += pairs
    return [section]


def outcome_notes(outcomes: Outcomes) -> list[str]:
    """Say which trials have no predictions, or some that are left out."""
    notes = [*outcomes.problems]
    if outcomes.missing:
        some = ", ".join(outcomes.missing[:NAMED])
        more = ", ..." if len(outcomes.missing) > NAMED else ""
        left = counted(len(outcomes.missing), "completed trial")
        notes.append(f"Without predictions, as version 0.1 left them: {left} ({some}{more}).")
    return notes


def pair_grids(judged: Sequence[Judged], findings: Findings) -> list[Grid]:
    """Return a table of the noise that images leave, and of McNemar's test of single runs."""
    rows = [(row.name, row.items) for row in judged if row.items is not None]
    if not rows:
        return []
    columns = ["compared", "images", "noise"]
    tested = any(found.mcnemar for _, found in rows)
    if tested:
        columns += mcnemar_columns("it", "the other")
    lines = []
    for name, found in rows:
        line = [name, f"{found.images:,}", number(found.noise)]
        if found.mcnemar is not None:
            line += mcnemar_row(found.mcnemar)
        lines.append([*line, *[""] * (len(columns) - len(line))])
    caption = (
        f"{metric_name(findings.judged_metric)}; noise: the standard error that the sample of "
        "images leaves in the difference of two single runs, from the images that one of them has "
        "right and the other wrong"
    )
    if tested:
        caption += "; p: McNemar's exact test of two single runs, not adjusted"
    return [Grid(columns, lines, caption, numeric(columns))]


def mcnemar_columns(first: str, second: str) -> list[str]:
    """The headings of `mcnemar_row`, by what the two runs are called."""
    return ["both right", f"only {first}", f"only {second}", "neither", "McNemar p"]


def mcnemar_row(found: McNemar) -> list[str]:
    """How many images both, either or none of two runs has right, and p."""
    counts = (found.both, found.gained, found.lost, found.neither)
    return [*(f"{count:,}" for count in counts), p_value(found.p)]


def _shown(findings: Findings) -> list[str]:
    """The cells of the tables: the baseline, the best other one, and the rest if they are few."""
    outcomes = findings.outcomes
    compared = findings.comparisons
    baseline = compared.baseline if compared is not None else DEFAULT
    scores = {cell: float(outcomes.correct(cell).mean()) for cell in outcomes.by_cell}
    others = sorted(scores.keys() - {baseline}, key=lambda cell: -scores[cell])
    first = [baseline] if baseline in scores else []
    if len(others) >= MOST_CELLS:
        others = [*others[: MOST_CELLS - 2], others[-1]]
    return [*first, *others]


def _by_class(findings: Findings, cells: Sequence[str]) -> Grid:
    outcomes = findings.outcomes
    labels = outcomes.labels
    found = {cell: class_accuracies(labels, outcomes.correct(cell)) for cell in cells}
    first, last = found[cells[0]], found[cells[min(1, len(cells) - 1)]]
    order = list(range(len(first)))
    caption = f"{metric_name(findings.judged_metric)} by class, mean over seeds"
    if len(order) > 2 * FURTHEST and len(cells) > 1:
        order.sort(key=lambda at: last[at].accuracy - first[at].accuracy, reverse=True)
        order = [*order[:FURTHEST], *order[-FURTHEST:]]
        caption += (
            f"; of {len(first)} classes the {FURTHEST} that gain most and the {FURTHEST} that lose "
            f"most from {cells[0]} to {cells[1]}"
        )
    columns = ["class", "images", *cells]
    rows = [
        [
            _called(outcomes.classes, first[at].label),
            f"{first[at].images:,}",
            *(number(found[cell][at].accuracy) for cell in cells),
        ]
        for at in order
    ]
    left = len(outcomes.by_cell) - len(cells)
    if left:
        caption += f"; {counted(left, 'more cell')} between the best and the worst"
    return Grid(columns, rows, caption, frozenset(columns[1:]))


def _confusions(findings: Findings, cells: Sequence[str]) -> tuple[list[Drawing], list[Grid]]:
    """A picture per cell, or with many classes a table of the pairs that it confuses most."""
    outcomes = findings.outcomes
    labels = outcomes.labels
    seen = np.unique(labels)
    drawings, grids = [], []
    for number_, cell in enumerate(cells, 1):
        seeds = outcomes.by_cell[cell]
        counts = confusion(labels, [one.predicted for one in seeds.values()], _classes(outcomes))
        over = counted(len(seeds), "seed")
        if len(seen) <= MOST_CLASSES and counts.shape[0] == len(seen):
            drawings.append(
                confusion_chart(
                    counts,
                    [_called(outcomes.classes, label) for label in seen.tolist()],
                    f"confusion-{number_}",
                    f"What {cell} takes for what",
                    f"Percent of the images of each class, summed over {over}; stronger: more than "
                    "2, 5 and 10 %. Empty: never.",
                )
            )
            continue
        columns = ["true class", "taken for", "times", "share of the class"]
        totals = counts.sum(1)
        rows = [
            [
                _called(outcomes.classes, true),
                _called(outcomes.classes, taken),
                f"{times:,}",
                number(times / totals[true], 3),
            ]
            for true, taken, times in most_confused(counts, PAIRS)
        ]
        caption = f"What {cell} confuses most, summed over {over}"
        if rows:
            grids.append(Grid(columns, rows, caption, frozenset(columns[2:])))
    return drawings, grids


def _classes(outcomes: Outcomes) -> int:
    predicted = [
        one.predicted.max() for seeds in outcomes.by_cell.values() for one in seeds.values()
    ]
    return max(len(outcomes.classes), int(outcomes.labels.max()) + 1, int(max(predicted)) + 1)


def _called(classes: Sequence[str], label: int) -> str:
    return classes[label] if label < len(classes) else str(label)
