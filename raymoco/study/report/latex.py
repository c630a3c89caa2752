"""Format a document as LaTeX for pdflatex, with any characters in the user's names."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence

from raymoco.study.journal.folder import FIGURES
from raymoco.study.report.document import Document, Grid
from raymoco.study.report.render import MINUS, PLUS_MINUS, typeset

GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"  # the letters that LaTeX has a command for
MATHS = {
    "≥": "geq",
    "≤": "leq",
    "≠": "neq",
    "≈": "approx",
    "×": "times",
    "·": "cdot",
    "→": "to",
    "←": "leftarrow",
    "∞": "infty",
    "∈": "in",
    PLUS_MINUS: "pm",
}


def _greek(letter: str) -> str:
    """Return the letter's name, such as `tau`, which is also its LaTeX command."""
    name = unicodedata.name(letter).rpartition(" ")[2].lower().replace("lamda", "lambda")
    return name.capitalize() if letter.isupper() else name


MATHS |= {letter: _greek(letter) for letter in GREEK}
SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    MINUS: r"\ensuremath{-}",
    "\N{FRACTION SLASH}": "/",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    **{sign: rf"\ensuremath{{\{name}}}" for sign, name in MATHS.items()},
}
# the characters of font encoding T1 beyond ASCII that are likely in names
WESTERN = {chr(code) for code in range(0xC0, 0x100)} - set("×÷")
KNOWN = {*string.printable, *WESTERN, *"ĄąĆćČčĎďĘęĚěĞğŁłŃńŇňŐőŒœŘřŚśŠšŤťŮůŰűŹźŻżŽž–—‘’“”„«»…§¡¿"}
# Unicode's compatibility forms of letters: without them 2⁶ would be printed as 26
FORMS = {
    "<super>": r"\textsuperscript{{{}}}",
    "<sub>": r"\textsubscript{{{}}}",
    "<fraction>": r"\,{}",
}


def to_latex(document: Document) -> str:
    """Return a small article with booktabs tables that can be copied into a paper."""
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
            lines += [*_grid(grid), ""]
        for drawing in section.drawings:
            lines += [
                r"\begin{figure}[htbp]\centering",
                # a forest plot of many cells is taller than a page
                r"\includegraphics[width=.8\linewidth,height=.85\textheight,keepaspectratio]"
                # detokenize: a file name may contain an underscore
                rf"{{\detokenize{{{FIGURES}/{drawing.name}}}.png}}",
                rf"\caption{{{latex_text(drawing.title)}. {latex_text(drawing.caption)}}}",
                r"\end{figure}",
                "",
            ]
    return "\n".join([*lines, r"\end{document}", ""])


def latex_text(text: str) -> str:
    """Escape text for one line of LaTeX; a character that T1 lacks becomes `?`."""
    return "".join(map(_letter, " ".join(typeset(text).split())))


def _letter(letter: str) -> str:
    if letter in SIGNS:
        return SIGNS[letter]
    if letter in KNOWN:
        return letter
    if unicodedata.category(letter) in ("Cc", "Cf", "Mn"):
        return ""  # control characters and single accents: TeX stops at them
    parts = unicodedata.normalize("NFKD", letter)
    if parts == letter:
        return "?"
    form = FORMS.get(unicodedata.decomposition(letter).partition(" ")[0], "{}")
    return form.format("".join(map(_letter, parts)))


def _grid(grid: Grid) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(latex_text, cells)) + r" \\"

    columns = "".join("r" if column in grid.numeric else "l" for column in grid.columns)
    caption = [rf"\caption{{{latex_text(grid.caption)}}}"] if grid.caption else []
    return [
        r"\begin{table}[htbp]\centering\small",
        *caption,
        # shrink a wide table to the width of the page
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
