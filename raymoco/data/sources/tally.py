"""What a walk through a folder passes over, with the suffixes named once per reason."""

from __future__ import annotations

from raymoco.data.account import Account, Kind, Remark
from raymoco.data.sources.source import NO_ID

_NAMED = 8  # suffixes of a reason


def shown(name: str) -> str:
    """A name as it can be printed and written, whatever the disk holds."""
    return NO_ID.sub(lambda found: ascii(found.group())[1:-1], name)


class Tally:
    """Counts what is passed over, by reason; suffixes are added to the reason at the end."""

    def __init__(self) -> None:
        self._account = Account()
        self._suffixes: dict[tuple[Kind, str], dict[str, int]] = {}

    def add(self, kind: Kind, reason: str, name: str, suffix: str = "") -> None:
        """Count a file or a folder.

        Args:
            suffix: named in the reason, if it is not empty.
        """
        self._account.add(kind, reason, shown(name))
        if suffix:
            counts = self._suffixes.setdefault((kind, reason), {})
            counts[shown(suffix)] = counts.get(shown(suffix), 0) + 1

    def remarks(self) -> tuple[Remark, ...]:
        """What was counted, with the most frequent suffixes in the reasons."""
        return tuple(
            remark.model_copy(update={"reason": remark.reason + self._named(remark)})
            for remark in self._account.remarks()
        )

    def _named(self, remark: Remark) -> str:
        counts = self._suffixes.get((remark.kind, remark.reason), {})
        first = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))
        more = ", ..." if len(first) > _NAMED else ""
        return f": {', '.join(first[:_NAMED])}{more}" if first else ""
