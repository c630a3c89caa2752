"""The Protocol of a tracker: a store that accepts changes and finds its runs again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from raymoco.passwords import hide
from raymoco.tracking.changes import Change

if TYPE_CHECKING:
    from raymoco.tracking.places import Place


class RefusedError(Exception):
    """The store has refused a change for good: trying again would not help."""


class TrackingStore(Protocol):
    """The runs of one sweep, or of one single run, in a store.

    It is opened with what is delivered where, and the identity of the sweep or the run. To open it
    raises an error where the store is away; that is tried again.

    Attributes:
        ids: what the store calls each run that it holds of this owner, by the key of its changes.
            Filled when it is opened, from what earlier processes wrote; empty tells the caller that
            the store has to be told everything.
    """

    ids: dict[str, str]

    def __init__(self, place: Place, owner: str) -> None: ...

    def write(self, change: Change) -> None:
        """Deliver one change; repeated deliveries must not duplicate anything.

        It may come again, whole or merged with later ones, when an answer was lost. A run that is
        not there yet is made if the change has a name.

        Raises:
            RefusedError: it can never be delivered; it is passed over, and the user is told.
            Exception: it could not be delivered now; it comes again.
        """


def reason(error: BaseException) -> str:
    """Describe in a few words why a store did not answer."""
    text = str(error)
    if "Connection refused" in text:
        return "connection refused"
    for word in ("timed out", "Name or service not known", "No route to host"):
        if word in text:
            return word.lower()
    return first_line(error)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    text = hide(str(error)).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
