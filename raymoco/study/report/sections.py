"""The sections of a report in their order, and those that every sweep has."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from raymoco.metrics import while_training
from raymoco.study.journal.events import ENDED
from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.journal.points import points_words, skipped_words
from raymoco.study.report.ablation_sections import ablation_sections, tuning_section
from raymoco.study.report.comparison_table import drawn
from raymoco.study.report.conclusions import answer
from raymoco.study.report.document import Document, Grid, Section
from raymoco.study.report.findings import Findings, cell_groups
from raymoco.study.report.labels import score_word
from raymoco.study.report.outcome_sections import outcome_sections
from raymoco.study.report.regime_section import regime_section
from raymoco.study.report.run_charts import learning_curves, score_against_speed, search_curves
from raymoco.study.report.search_sections import search_sections
from raymoco.study.report.series_styles import CellStyles, figure_names


def build_document(findings: Findings) -> Document:
    """Build the whole report of one sweep."""
    if findings.comparisons is not None:
        sections = [*ablation_sections(findings), *outcome_sections(findings)]
        sections += [_curves(findings), _speed(findings)]
        sections.append(tuning_section(findings))
    else:
        sections = [*search_sections(findings), *outcome_sections(findings)]
        sections += [_curves(findings), _speed(findings)]
    sections += [regime_section(findings), _counts(findings), _circumstances(findings)]
    question = findings.sweep.spec.question
    return Document(
        findings.name,
        question,
        answer(findings),
        [section for section in sections if not section.empty],
        _state(findings),
    )


def _curves(findings: Findings) -> Section:
    metric = while_training(findings.metric)
    if findings.comparisons is None:
        drawing = search_curves(findings.searched, metric)
    else:
        drawing = learning_curves(cell_groups(findings), metric, _cell_styles(findings))
    return Section("Learning curves", drawings=drawn(drawing))


def _speed(findings: Findings) -> Section:
    groups = cell_groups(findings) if findings.comparisons else {"trials": findings.searched}
    found = score_against_speed(groups, findings.metric, _cell_styles(findings))
    return Section(f"{score_word(findings.metric)} against speed", drawings=drawn(found))


def _cell_styles(findings: Findings) -> CellStyles:
    found = findings.comparisons
    if found is None:
        return CellStyles(findings.higher)
    return CellStyles(findings.higher, figure_names(found.cells), found.baseline)


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
    said = [points_words(findings.search, findings.ledger), skipped_words(findings.folder)]
    section = Section("Trials", [f"{text[:1].upper()}{text[1:]}." for text in said if text])
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
    spent = math.fsum(trial.spent for trial in trials)  # without the time between two drivers
    if spent:
        section.sentences.append(f"All trials together took {spent / 60:.1f} minutes of gang time.")
    return section


def _circumstances(findings: Findings) -> Section:
    spec = findings.sweep.spec
    epochs = f"{findings.sweep.base.epochs} epochs each"
    if "epochs" in findings.sweep.axes:
        epochs = "epochs vary"
    rows = [["run", f"{epochs}, {spec.budget.concurrent} at once"]]
    begun = findings.ledger.begun
    for turn, known in enumerate(begun):
        if not turn or known != begun[turn - 1]:  # a resume on the same machine adds nothing
            rows += [[_plain(name), value] for name, value in known.items()]
    return Section("What ran on what", grids=[Grid(["", "value"], rows)])


def _phase(findings: Findings, trial: TrialRecord) -> str:
    return findings.sweep.spec.phase_of(trial.cell, trial.phase)


def _state(findings: Findings) -> str:
    ends = [trial.ended for trial in findings.ledger.all() if trial.ended]
    if not ends:
        return "no trial has ended"
    return f"state of {datetime.fromtimestamp(max(ends), UTC):%Y-%m-%d %H:%M} UTC"


def _plain(tag: str) -> str:
    return tag.removeprefix("mlflow.source.").removeprefix("raymoco.").replace("_", " ")
