"""A report independent of its format: sections with sentences, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Grid:
    """A table of texts; `numeric` names the columns that are aligned right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    numeric: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Drawing:
    """A figure: `svg` with light colors for files, `inline` with the page's theme colors."""

    name: str
    title: str
    caption: str
    svg: str
    inline: str
    png: bytes = field(repr=False)


@dataclass
class Section:
    """A heading with sentences, tables and figures, in this order."""

    title: str
    sentences: list[str] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.sentences or self.grids or self.drawings)


@dataclass
class Document:
    """A whole report: the question, the answer, and the sections that support it."""

    title: str
    question: str
    answer: list[str]
    sections: list[Section]
    made: str

    @property
    def drawings(self) -> list[Drawing]:
        """All figures, in their order."""
        return [drawing for section in self.sections for drawing in section.drawings]
