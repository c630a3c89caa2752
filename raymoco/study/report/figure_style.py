"""The style of figures: colors that color-blind people can distinguish, light and dark.

matplotlib draws with light-theme colors. Each of them is used for only one purpose, so that the
page can replace it by a CSS variable and follow the reader's theme.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raymoco.study.report.document import Drawing

INK, MUTED, GRID, PAPER = "#1b1f24", "#59636e", "#d8dee4", "#ffffff"
# Okabe and Ito's palette ("Color Universal Design", 2008), the pale ones last; black is the ink
BLUE, VERMILLION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
ORANGE, SKY = "#e69f00", "#56b4e9"
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)
STEPS = ("#c9d8e6", "#9dbfdc", "#6aa0ce", "#2f7ab5", "#0b4a80")  # worst to best
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
# the page's names for them; see page.html.j2
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    BLUE: "--blue",
    VERMILLION: "--vermillion",
    GREEN: "--green",
    PURPLE: "--purple",
    ORANGE: "--orange",
    SKY: "--sky",
    **{color: f"--step-{number}" for number, color in enumerate(STEPS)},
}
BROAD = 8.5  # inches, for a figure over the page's whole width, with letters of the same size
WIDTH = 4.8  # inches: at a phone's width letters of 10 points are still readable
DPI = 200
LEGEND_ROW = 0.19  # inches
LONGEST_NAME = 80  # characters of a file name: names of factors may have any length

STYLE: Any = {
    "font.size": 10,
    "font.family": ["DejaVu Sans"],
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # cell names are the user's: a dollar sign is not math
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.facecolor": "none",
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",  # keep text as text, for screen readers, searching and copying
    "svg.hashsalt": "raymoco",  # the same figure has the same ids
}


def style() -> Any:
    """The style, as a context in which a figure is built and finished."""
    return matplotlib.rc_context(STYLE)


def new_figure(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """An empty figure of one panel, sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def distinct_styles(count: int) -> list[tuple[str, str, Any]]:
    """Return color, marker and dash of so many series: any two differ in more than color."""
    found = []
    for number in range(count):
        turn = number // len(SERIES)
        marker = MARKERS[(number + turn) % len(MARKERS)]
        found.append((SERIES[number % len(SERIES)], marker, DASHES[turn % len(DASHES)]))
    return found


def count_by_ones(axes: Axes) -> None:
    """Ticks of the x axis at whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def legend_below(figure: Figure, axes: Axes) -> None:
    """Add a legend below the panel, in as many columns as fit."""
    handles, names = axes.get_legend_handles_labels()
    columns = _legend_columns(names)
    figure.legend(handles, names, loc="outside lower center", ncols=columns)


def legend_inches(names: Sequence[str]) -> float:
    """Return the height of a legend with these names."""
    return LEGEND_ROW * math.ceil(len(names) / _legend_columns(names))


def _legend_columns(names: Sequence[str]) -> int:
    longest = max((len(name) for name in names), default=1)
    return max(1, min(len(names), 64 // (longest + 6)))


def finish(figure: Figure, name: str, title: str, caption: str) -> Drawing:
    """Return the figure as SVG and PNG; the file name is made of safe characters of the name."""
    name = re.sub(r"[^\w.=+-]+", "-", name, flags=re.ASCII)[:LONGEST_NAME].rstrip("-")
    raster, vector = io.BytesIO(), io.StringIO()
    with warnings.catch_warnings():
        # a name in a script that matplotlib's font lacks: the page's font has it
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(raster, format="png", dpi=DPI, facecolor=PAPER)
        figure.savefig(vector, format="svg", transparent=True, metadata={"Date": None})
    svg = _clean(vector.getvalue(), name)
    return Drawing(name, title, caption, svg, _themed(svg, title), raster.getvalue())


def _clean(text: str, name: str) -> str:
    """Return the svg element alone, with ids that are unique on the page."""
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    return re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)


def _themed(svg: str, title: str) -> str:
    """Adapt a figure to the page: CSS variables for colors, the column's width."""

    def themed(style: re.Match[str]) -> str:
        return re.sub(r"#[0-9a-f]{6}", lambda hit: _variable(hit[0]), style[0])

    svg = re.sub(r'\bstyle="[^"]*"', themed, svg)
    head, rest = svg.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    head = re.sub(r' xmlns(:xlink)?="[^"]*"', "", head)
    rest = rest.replace("xlink:href", "href")
    return f'{head} role="img" aria-label="{escape_attribute(title)}">{rest}'


def _variable(color: str) -> str:
    return f"var({VARIABLES[color]})" if color in VARIABLES else color


def escape_attribute(text: str) -> str:
    """Escape text for an attribute in double quotes."""
    pairs = (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;"))
    for plain, safe in pairs:
        text = text.replace(plain, safe)
    return text
