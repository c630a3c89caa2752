"""`raymoco report`: write the files of a sweep's report into its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raymoco.engine.output_folder import RunFolder
from raymoco.errors import InputError
from raymoco.files import write_atomically
from raymoco.reading import read_text
from raymoco.study.journal.find import find_folder
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.trials_csv import write_trials
from raymoco.study.report.document import Document
from raymoco.study.report.findings import Findings, read_findings
from raymoco.study.report.latex import to_latex
from raymoco.study.report.render import to_html, to_markdown, to_note
from raymoco.study.report.sections import build_document
from raymoco.study.report.two_runs import build_run_comparison, is_run
from raymoco.study.report.two_sweeps import build_comparison, told_apart
from raymoco.study.statistics.confirmation import write_confirmation


@dataclass(frozen=True)
class Report:
    """The written report: `html` is the page, `files` all files, `note` the text of summary.md."""

    folder: Path
    html: Path
    files: tuple[Path, ...]
    note: str


def report(*sweeps: str | Path) -> Report:
    """Write the report of a sweep into its folder, or the comparison of two sweeps or two runs.

    It also works for a running or interrupted sweep, with the results so far.

    Args:
        sweeps: the folder of one sweep, or its name if it is in runs/; or those of two:
            `report("runs/a", "runs/b")` writes into `runs/b/against-a`. Two runs of `raymoco train`
            are compared image by image.
    Raises:
        InputError: a folder is not a sweep's, there are more than two, both are the same, or two
            runs cannot be compared.
    """
    folders = [find_folder(str(sweep)) for sweep in sweeps]
    if len(folders) == 2 and all(map(is_run, folders)):
        return _report_runs(*folders)
    if len(folders) == 1:
        return write_report(read_findings(folders[0]))
    if len(folders) == 2:
        first, second = map(read_findings, folders)
        if first.folder.resolve() == second.folder.resolve():
            raise InputError(f"{first.folder} was given twice: a report of two needs two sweeps.")
        one, two = told_apart(first, second)
        files = [*_files(first, one), *_files(second, two)]
        folder = second.folder / f"against-{one.replace('/', '-')}"
        return write_document(build_comparison(first, second), folder, files)
    raise InputError(f"a report is of one sweep or of two, but {len(sweeps)} folders were given.")


def _report_runs(first: Path, second: Path) -> Report:
    if first == second:
        raise InputError(f"{first} was given twice: a report of two needs two runs.")
    document = build_run_comparison(first, second)
    shown = [
        (f"{folder.name}: {RunFolder(folder).config.name}", read_text(RunFolder(folder).config))
        for folder in (first, second)
    ]
    return write_document(document, second / f"against-{first.name}", shown)


def write_report(findings: Findings) -> Report:
    """Write the report of one sweep, and its tables, because the sweep may still run."""
    spec = findings.sweep.spec
    table = SweepFolder(findings.folder).trials
    write_trials(table, findings.ledger, spec.axes, findings.sweep.objectives)
    if findings.comparisons is not None:
        findings.comparisons.write(findings.folder)
    else:
        write_confirmation(findings.confirmation, findings.folder)
    files = _files(findings, findings.name)
    return write_document(build_document(findings), findings.folder, files)


def write_document(document: Document, folder: Path, shown: list[tuple[str, str]]) -> Report:
    """Write a document as report.html, .md, .tex and summary.md, and its figures as SVG and PNG."""
    files, written = SweepFolder(folder), list[Path]()
    for drawing in document.drawings:
        path = files.figures / drawing.name
        for suffix, content in ((".svg", drawing.svg), (".png", drawing.png)):
            written.append(path.with_name(f"{path.name}{suffix}"))
            write_atomically(written[-1], content)
    note = to_note(document)
    texts = {
        files.summary: note,
        files.report("html"): to_html(document, shown),
        files.report("md"): to_markdown(document),
        files.report("tex"): to_latex(document),
    }
    for path, text in texts.items():
        written.append(path)
        write_atomically(path, text)
    return Report(folder, files.report("html"), tuple(written), note)


def _files(findings: Findings, name: str) -> list[tuple[str, str]]:
    path = SweepFolder(findings.folder).spec
    return [(f"{name}: {path.name}", path.read_text(encoding="utf-8"))]
