"""Which trials of a long sweep its figures show: a page with ten thousand lines opens slowly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

LINES, POINTS = 200, 1000
LISTED = 50  # rows of a table

T = TypeVar("T")


def thinned(found: Sequence[T], most: int) -> list[T]:
    """Return at most so many, the first and the last among them, evenly along their order."""
    if len(found) <= most:
        return list(found)
    return [found[place * (len(found) - 1) // (most - 1)] for place in range(most)]


def told(shown: int, there_are: int, how: str = "evenly chosen along their order") -> str:
    """Say in a caption that a figure shows some of the trials; '' if it shows all."""
    if shown >= there_are:
        return ""
    return f" Shown are {shown:,} of {there_are:,} trials, {how}; trials.csv has all."
