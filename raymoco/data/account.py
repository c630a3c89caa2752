"""What a source took, passed over, changed and guessed, counted by reason: nothing is silent.

A source, the decoder and the builder each keep an `Account`. The build adds them up, tells them in
a few lines, and the manifest keeps them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

Kind = Literal["passed over", "corrupt", "left out", "changed", "understood"]
KINDS: tuple[Kind, ...] = ("understood", "passed over", "corrupt", "left out", "changed")
NAMES = 1000  # kept per reason, the first in sorted order
EXAMPLES = 2


class Remark(BaseModel):
    """Files or images that were treated alike, for one reason.

    Attributes:
        kind: `passed over`: claims to be no image, so it is no data; `corrupt`: claims to be an
            image, and cannot be read; `left out`: could be read, but is not used (a copy of a test
            image); `changed`: is used, but not as it was stored (transparency, a range of values);
            `understood`: how the layout was read, where another reading was possible.
        reason: why, as the end of a sentence.
        count: of files; 0 where the remark is about the layout as a whole.
        names: the first of them in sorted order, at most 1,000.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    reason: str
    count: int
    names: tuple[str, ...]

    def line(self) -> str:
        """Say it in one line, with two examples."""
        if not self.count:
            return f"{self.kind}: {self.reason}"
        shown = ", ".join(self.names[:EXAMPLES])
        more = ", ..." if self.count > min(len(self.names), EXAMPLES) else ""
        return f"{self.kind}: {self.count:,} {self.reason} ({shown}{more})"


class Account:
    """Counts files by kind and reason; of each it keeps the first names in sorted order."""

    def __init__(self, remarks: Iterable[Remark] = ()) -> None:
        self._counts: dict[tuple[Kind, str], int] = {}
        self._names: dict[tuple[Kind, str], list[_Last]] = {}
        for remark in remarks:
            self._add((remark.kind, remark.reason), remark.count, remark.names)

    def add(self, kind: Kind, reason: str, name: str) -> None:
        """Count one file."""
        self._add((kind, reason), 1, (name,))

    def say(self, kind: Kind, reason: str) -> None:
        """Remark on the layout as a whole."""
        self._add((kind, reason), 0, ())

    def remarks(self) -> tuple[Remark, ...]:
        """All of it, by kind, the most frequent reason first."""
        found = [
            Remark(
                kind=kind, reason=reason, count=count, names=tuple(sorted(self._of(kind, reason)))
            )
            for (kind, reason), count in self._counts.items()
        ]
        return tuple(sorted(found, key=lambda r: (KINDS.index(r.kind), -r.count, r.reason)))

    def _of(self, kind: Kind, reason: str) -> list[str]:
        return [last.name for last in self._names[kind, reason]]

    def _add(self, key: tuple[Kind, str], count: int, names: Sequence[str]) -> None:
        self._counts[key] = self._counts.get(key, 0) + count
        kept = self._names.setdefault(key, [])
        for name in names:
            keep = heapq.heappush if len(kept) < NAMES else heapq.heappushpop
            keep(kept, _Last(name))


class _Last:
    """A name that a heap puts first if it is last in sorted order."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __lt__(self, other: _Last) -> bool:
        return self.name > other.name


@runtime_checkable
class KeepsAccount(Protocol):
    """A source that can say what it passed over and how it read the layout."""

    def account(self) -> Account:
        """Return what has been found; complete once `entries()` has been read to its end."""
        ...
