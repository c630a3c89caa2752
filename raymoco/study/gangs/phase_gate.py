"""Bookkeeping of a phase: when its trials may be handed out, and how many gangs it needs.

No trial is handed out before every client has submitted one: while clients are still starting, Tune
kills and restarts those whose trials have ended.
"""

from __future__ import annotations


class SubmissionBarrier:
    """Holds back the trials of one phase until enough are submitted, and counts them.

    Args:
        slots: how many clients there will be.
        last: no phase follows, so gangs without a trial can be closed.
    """

    def __init__(self, slots: int, last: bool = False) -> None:
        self._slots, self._last = slots, last
        self._arrived = 0
        self._handed: int | None = None

    def arrive(self) -> None:
        """Count a trial that was submitted, or that will never be."""
        self._arrived += 1

    def announce(self, handed: int) -> None:
        """Set the total number of trials of the phase; some may not be submitted yet."""
        self._handed = handed

    def lower(self, slots: int) -> None:
        """Expect fewer clients: the other trials of the phase wait for the end of these."""
        self._slots = min(self._slots, slots)

    @property
    def open(self) -> bool:
        """Whether waiting trials may be handed out."""
        awaited = self._slots if self._handed is None else min(self._slots, self._handed)
        return self._arrived >= awaited

    def needed(self, unended: int) -> int | None:
        """Return how many gangs the phase still needs; None if the next phase needs all of them.

        Args:
            unended: the number of submitted trials that have not ended.
        """
        if not self._last:
            return None
        if self._handed is None:
            return self._slots
        return unended + self._handed - self._arrived
