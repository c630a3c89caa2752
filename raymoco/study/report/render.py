"""A document as HTML, Markdown and LaTeX; every text of the user's is escaped for its language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from raymoco.study.report.document import Document, Grid

FIGURES = "figures"
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


def to_latex(document: Document) -> str:
    """A small article; its tables are booktabs', to be copied into a paper."""
    lines = [
        r"\documentclass{article}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage{booktabs,graphicx}",
        r"\usepackage[margin=2.5cm]{geometry}",
        r"\begin{document}",
        rf"\section*{{{latex_text(document.title)}}}",
    ]
    if document.question:
        lines.append(rf"\emph{{{latex_text(document.question)}}}")
    lines += ["", r"\begin{itemize}"]
    lines += [rf"\item {latex_text(sentence)}" for sentence in document.answer]
    lines += [r"\end{itemize}", ""]
    for section in document.sections:
        lines.append(rf"\subsection*{{{latex_text(section.title)}}}")
        lines += [f"{latex_text(sentence)}\n" for sentence in section.sentences]
        for grid in section.grids:
            lines += [*_latex_grid(grid), ""]
        for drawing in section.drawings:
            lines += [
                r"\begin{figure}[htbp]\centering",
                # detokenize: a file's name may hold an underscore
                rf"\includegraphics[width=.8\linewidth]{{\detokenize{{{FIGURES}/{drawing.name}}}.png}}",
                rf"\caption{{{latex_text(drawing.title)}. {latex_text(drawing.caption)}}}",
                r"\end{figure}",
                "",
            ]
    return "\n".join([*lines, r"\end{document}", ""])


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it stands: no markup, no HTML, no table cells of its own."""
    text = re.sub(r"([\\`*\[\]<>|#~$])", r"\\\1", typeset(text))
    # within a word an underscore is only an underscore
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text).replace("\n", " ")


def latex_text(text: str) -> str:
    """Text that LaTeX sets as it stands."""
    signs = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        MINUS: r"\ensuremath{-}",
        PLUS_MINUS: r"\ensuremath{\pm}",
        **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    }
    return "".join(signs.get(letter, letter) for letter in typeset(text))


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
    return [*lines, "", f"({markdown_text(document.made)})"]


def _markdown_grid(grid: Grid) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(map(markdown_text, cells))} |"

    rules = [("---:" if column in grid.numeric else "---") for column in grid.columns]
    lines = [line(grid.columns), f"| {' | '.join(rules)} |", *map(line, grid.rows)]
    return [*lines, "", f"*{markdown_text(grid.caption)}*"] if grid.caption else lines


def _latex_grid(grid: Grid) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(latex_text, cells)) + r" \\"

    columns = "".join("r" if column in grid.numeric else "l" for column in grid.columns)
    caption = [rf"\caption{{{latex_text(grid.caption)}}}"] if grid.caption else []
    return [
        r"\begin{table}[htbp]\centering\small",
        *caption,
        # a wide table is made to fit rather than to run off the page
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        line(grid.columns),
        r"\midrule",
        *map(line, grid.rows),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
