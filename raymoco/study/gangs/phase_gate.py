"""When trials of a phase are handed out, and how many gangs they can use. Pure.

Nothing is handed out until every client has submitted once: while clients still start, Tune kills
and restarts the ones whose trials end early.
"""

from __future__ import annotations


class SubmissionBarrier:
    """The gate of one phase, and the count of the trials that have passed it.

    Args:
        slots: how many clients will stand.
        last: no phase follows, so gangs without a trial can go home.
    """

    def __init__(self, slots: int, last: bool = False) -> None:
        self._slots, self._last = slots, last
        self._arrived = 0
        self._handed: int | None = None

    def arrive(self) -> None:
        """A trial was submitted, or never will be."""
        self._arrived += 1

    def announce(self, handed: int) -> None:
        """No more than so many trials will come, some of which may be on their way."""
        self._handed = handed

    @property
    def open(self) -> bool:
        """Whether what waits may be handed out."""
        awaited = self._slots if self._handed is None else min(self._slots, self._handed)
        return self._arrived >= awaited

    def needed(self, unended: int) -> int | None:
        """How many gangs can be of use; None if all shall stay, whatever they do.

        Args:
            unended: trials that were submitted and have not ended.
        """
        if not self._last:
            return None
        if self._handed is None:
            return self._slots
        return unended + self._handed - self._arrived
