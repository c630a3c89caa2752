"""The section on the regime: what length, queue and key momentum of the runs amount to."""

from __future__ import annotations

from typing import Any

from raymoco.engine.regime import Regime, TrainImages, regime, share
from raymoco.errors import InputError
from raymoco.study.report.document import Grid, Section
from raymoco.study.report.findings import Findings
from raymoco.study.report.labels import number
from raymoco.study.statistics.scores import compared_trials
from raymoco.study.sweepfile.regime_checks import sweep_regime_warning
from raymoco.study.sweepfile.sections import DEFAULT

COLUMNS = (
    "cell",
    "steps",
    "of an epoch",
    "first weights left",
    "queue filled",
    "oldest key, epochs",
    "meet their own key",
    "positives",
)
CAPTION = (
    "first weights left: in the key encoder at the end; meet their own key: queries with an older "
    "key of their own image in the queue; positives: keys in the queue for a labeled query. "
    "Expected values, not counts."
)


def regime_section(findings: Findings) -> Section:
    """Return a table with the first cell and every cell whose regime differs from its."""
    section = Section("Regime")
    images = _images(findings)
    if images is None:  # version 0.1 before its first gang, or a sweep that has not begun
        return section
    try:
        found = {
            cell: regime(findings.sweep.base.with_values(values), images)
            for cell, values in _cells(findings).items()
        }
        warning = sweep_regime_warning(findings.sweep, images)
    except InputError as error:  # for example code that is not on this machine
        section.sentences.append(f"Not known here: {error}")
        return section
    first, own = next(iter(found.items()))
    rows = [_row(cell, one) for cell, one in found.items() if cell == first or one != own]
    section.grids.append(Grid(COLUMNS, rows, CAPTION, frozenset(COLUMNS[1:])))
    if len(rows) < len(found):
        section.sentences.append(f"Cells that are not listed are as {first}.")
    if warning is not None:
        section.sentences.append(f"Warning: {warning}")
    return section


def _images(findings: Findings) -> TrainImages | None:
    """The training images as the last driver recorded them."""
    known = findings.ledger.begun[-1] if findings.ledger.begun else {}
    count, labels, classes = (
        int(known.get(f"raymoco.{name}", "0"))
        for name in ("train_images", "train_labels", "classes")
    )
    if not count:
        return None
    return TrainImages(count, (labels / classes,) * classes if classes else ())


def _cells(findings: Findings) -> dict[str, dict[str, Any]]:
    """The values of every cell, tuned ones included; of a search those of its confirmation."""
    cells: dict[str, dict[str, Any]] = {DEFAULT: {}}
    if findings.ablation is not None:
        cells = {cell.name: cell.values for cell in findings.ablation.cells}
    tried = {trial.cell: trial.values for trial in compared_trials(findings.ledger.all())}
    return cells | tried


def _row(cell: str, found: Regime) -> list[str]:
    left, own = found.first_weights, found.own_key
    return [
        cell,
        f"{found.steps:,}",
        f"{found.epoch_steps:,}",
        "no keys" if left is None else share(left),
        "" if found.fills is None else f"{found.fills:.3g} times",
        number(found.oldest_epochs, 2),
        "" if own is None else f"{own:.0%}",
        "" if found.positives is None else f"{found.positives:.3g}",
    ]
