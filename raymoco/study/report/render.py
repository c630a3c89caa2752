"""Format a document as HTML and Markdown, escaping the user's texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from raymoco.study.journal.folder import FIGURES
from raymoco.study.report.document import Document, Grid

NOTE_LENGTH = 8000  # MLflow's limit for the value of a tag
MINUS, PLUS_MINUS = "−", "±"


def to_html(document: Document, files: Sequence[tuple[str, str]] = ()) -> str:
    """Return one page that needs no other file and loads nothing from the network.

    Args:
        files: names and texts of files, such as the sweep file, to show collapsed at the end.
    """
    return _template().render(document=document, files=files)


def to_markdown(document: Document) -> str:
    """Return the report as Markdown, with PNG figures in figures/."""
    lines = [*_opening(document), ""]
    for section in document.sections:
        lines += [f"## {markdown_text(section.title)}", ""]
        for sentence in section.sentences:
            lines += [markdown_text(sentence), ""]
        for grid in section.grids:
            lines += [*markdown_grid(grid), ""]
        for drawing in section.drawings:
            lines.append(f"![{markdown_text(drawing.title)}]({FIGURES}/{drawing.name}.png)")
            lines += ["", f"*{markdown_text(drawing.caption)}*", ""]
    return "\n".join(lines).rstrip() + "\n"


def to_note(document: Document) -> str:
    """Return a summary for the description of an MLflow run: the answer, and tables that fit."""
    text = "\n".join(_opening(document))
    for section in document.sections:
        for grid in section.grids[:1]:
            more = [f"**{markdown_text(section.title)}**", "", *markdown_grid(grid)]
            longer = "\n".join([text, "", *more])
            if len(longer) <= NOTE_LENGTH:
                text = longer
    return text[:NOTE_LENGTH]


def markdown_text(text: str) -> str:
    """Escape text for one line of Markdown: no markup, no HTML, no table cells."""
    # a space before the closing stars would keep them from ending bold text
    text = re.sub(r"([\\`*\[\]<>|#~$])", r"\\\1", " ".join(typeset(text).split()))
    # within a word an underscore needs no escaping
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def typeset(text: str) -> str:
    """Replace `+-` and a minus before a digit by the typographic characters."""
    text = text.replace("+-", PLUS_MINUS)
    return re.sub(r"(?<![\w.=-])-(?=\d)", MINUS, text)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("raymoco.study.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typeset"] = typeset
    environment.filters["drawn"] = Markup  # raymoco's own SVG, with texts escaped by matplotlib
    return environment.get_template("page.html.j2")


def _opening(document: Document) -> list[str]:
    lines = [f"# {markdown_text(document.title)}", ""]
    if document.question:
        lines += [f"**{markdown_text(document.question)}**", ""]
    lines += [f"- {markdown_text(sentence)}" for sentence in document.answer]
    return [*lines, "", f"({markdown_text(document.made)})"] if document.made else lines


def markdown_grid(grid: Grid) -> list[str]:
    """Return the lines of a table, the caption under it."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(map(markdown_text, cells))} |"

    rules = [("---:" if column in grid.numeric else "---") for column in grid.columns]
    lines = [line(grid.columns), f"| {' | '.join(rules)} |", *map(line, grid.rows)]
    return [*lines, "", f"*{markdown_text(grid.caption)}*"] if grid.caption else lines
