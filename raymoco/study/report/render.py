"""A document as HTML and Markdown; every text of the user's is escaped for its language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from raymoco.study.journal.folder import FIGURES
from raymoco.study.report.document import Document, Grid

NOTE_LENGTH = 8000  # what MLflow takes as the value of a tag
MINUS, PLUS_MINUS = "−", "±"


def to_html(document: Document, files: Sequence[tuple[str, str]] = ()) -> str:
    """One page that needs no other file and asks nobody for anything.

    Args:
        files: name and text of what is shown folded at the end, such as the sweep file.
    """
    return _template().render(document=document, files=files)


def to_markdown(document: Document) -> str:
    """The report with its figures beside it, as PNG in figures/."""
    lines = [*_opening(document), ""]
    for section in document.sections:
        lines += [f"## {markdown_text(section.title)}", ""]
        for sentence in section.sentences:
            lines += [markdown_text(sentence), ""]
        for grid in section.grids:
            lines += [*_markdown_grid(grid), ""]
        for drawing in section.drawings:
            lines.append(f"![{markdown_text(drawing.title)}]({FIGURES}/{drawing.name}.png)")
            lines += ["", f"*{markdown_text(drawing.caption)}*", ""]
    return "\n".join(lines).rstrip() + "\n"


def to_note(document: Document) -> str:
    """The summary for the description of an MLflow run: the answer, and tables while they fit."""
    text = "\n".join(_opening(document))
    for section in document.sections:
        for grid in section.grids[:1]:
            more = [f"**{markdown_text(section.title)}**", "", *_markdown_grid(grid)]
            longer = "\n".join([text, "", *more])
            if len(longer) <= NOTE_LENGTH:
                text = longer
    return text[:NOTE_LENGTH]


def markdown_text(text: str) -> str:
    """Text on one line that Markdown shows as it stands: no markup, no HTML, no table cells."""
    # a space before the stars that end what is bold would be no end
    text = re.sub(r"([\\`*\[\]<>|#~$])", r"\\\1", " ".join(typeset(text).split()))
    # within a word an underscore is only an underscore
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def typeset(text: str) -> str:
    """`+-` and a minus before a digit as a printer sets them."""
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
    environment.filters["drawn"] = Markup  # our own SVG, its texts escaped by matplotlib
    return environment.get_template("page.html.j2")


def _opening(document: Document) -> list[str]:
    lines = [f"# {markdown_text(document.title)}", ""]
    if document.question:
        lines += [f"**{markdown_text(document.question)}**", ""]
    lines += [f"- {markdown_text(sentence)}" for sentence in document.answer]
    return [*lines, "", f"({markdown_text(document.made)})"] if document.made else lines


def _markdown_grid(grid: Grid) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(map(markdown_text, cells))} |"

    rules = [("---:" if column in grid.numeric else "---") for column in grid.columns]
    lines = [line(grid.columns), f"| {' | '.join(rules)} |", *map(line, grid.rows)]
    return [*lines, "", f"*{markdown_text(grid.caption)}*"] if grid.caption else lines
