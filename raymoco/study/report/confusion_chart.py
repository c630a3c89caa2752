"""Confusion matrices: which class was taken for which, as shares of each class's images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from raymoco.study.report.document import Drawing
from raymoco.study.report.figure_style import GRID, INK, PAPER, STEPS, finish, new_figure, style
from raymoco.study.report.labels import clip

MOST_CLASSES = 20  # with more, a table of pairs can be read and a picture cannot
NAME_ROOM = 14  # letters of a class at an axis
# from which share of a class's images on; ink is readable on the first two, paper on the others
SHADES = ((0.0, STEPS[0], INK), (0.02, STEPS[1], INK), (0.05, STEPS[3], PAPER),
          (0.1, STEPS[4], PAPER))  # fmt: skip


def confusion_chart(
    confusion_CC: NDArray[np.int64], classes: Sequence[str], name: str, title: str, caption: str
) -> Drawing:
    """Draw a matrix with the percentage of each class's images in each cell.

    Args:
        confusion_CC: counts: a row per true class, a column per predicted one; MOST_CLASSES at
            most, each with images.
        classes: their names.
        name: of the file.
    """
    count = len(classes)
    shares = confusion_CC / confusion_CC.sum(1, keepdims=True)
    side = min(max(2.6, 0.36 * count), 4.2)  # inches: as high as the panel is wide, at most
    with style():
        figure, axes = new_figure(side + 1.1)
        for true, taken in np.ndindex(count, count):
            share = float(shares[true, taken])
            if not share:
                continue
            ink = INK
            if true != taken:
                color, ink = next((c, i) for least, c, i in reversed(SHADES) if share > least)
                axes.add_patch(
                    Rectangle((taken - 0.5, true - 0.5), 1, 1, facecolor=color, linewidth=0)
                )
            axes.text(
                taken, true, _percent(share), ha="center", va="center", color=ink, fontsize=7,
                fontweight="bold" if true == taken else "normal",
            )  # fmt: skip
        axes.set_xlim(-0.5, count - 0.5)
        axes.set_ylim(count - 0.5, -0.5)
        names = [clip(one, NAME_ROOM) for one in classes]
        turned = max(map(len, names)) > 3
        axes.set_xticks(range(count), names, rotation=90 if turned else 0)
        axes.set_yticks(range(count), names)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for edge in np.arange(count + 1) - 0.5:
            axes.axhline(edge, color=GRID, linewidth=0.5, zorder=0)
            axes.axvline(edge, color=GRID, linewidth=0.5, zorder=0)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        for spine in axes.spines.values():
            spine.set_visible(False)
        return finish(figure, name, title, caption)


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f}" if percent >= 9.95 else f"{percent:.1f}"
