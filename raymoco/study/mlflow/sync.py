"""`raymoco sync`: send MLflow the events that it missed because of an outage or a kill."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from dataclasses import dataclass

from raymoco.errors import ConfigError, RaymocoError
from raymoco.event_log import Journal
from raymoco.locks import lease
from raymoco.study.journal.events import Tracked
from raymoco.study.journal.find import FoundFolder
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import load_ledger
from raymoco.study.journal.trials_csv import write_trials
from raymoco.study.mlflow.translate import open_translator
from raymoco.tracking import NOWHERE, Mirror, Outcome, Place, check_tracking, place_of


class UndeliveredError(RaymocoError):
    """The store did not answer, or did not take everything."""


@dataclass(frozen=True)
class Synced:
    """The result of `sync`."""

    place: Place
    outcome: Outcome

    def lines(self) -> list[str]:
        """The result in words."""
        done = self.outcome
        if not done.events and not done.refused:
            return [f"{self.place.uri} has everything of {self.place.folder}"]
        lines = [f"delivered {done.points} points ({done.events} events) to {self.place.uri}"]
        lines += [f"refused {line}" for line in done.refused]
        return lines


def sync(found: FoundFolder, uri: str | None = None, *, again: bool = False) -> Synced:
    """Deliver everything that a store lacks; repeating it changes nothing.

    Args:
        found: a sweep or a run.
        uri: another store than the one in its file.
        again: send everything, also what the store should have already.
    Raises:
        ConfigError: its `tracking.uri` is none or a third-party store that is not there, or its own
            process still runs and delivers.
        UndeliveredError: the store does not answer; what it took is not sent again.
    """
    at = found.tracking
    check_tracking(uri or at.uri, found.folder.parent)
    place = place_of(found.folder, uri or at.uri, at.experiment)
    if place.uri == NOWHERE:
        raise ConfigError(
            f"tracking.uri of {found.folder} is {NOWHERE}: say where to deliver with --uri."
        )
    own = place == place_of(found.folder, at.uri, at.experiment)
    # a resume and `raymoco ui` must not use the ids of runs in another store
    ids: dict[str, str] = {}
    mirror = Mirror(place, open_translator(found), ids.__setitem__)
    with lease(found.folder, "sweep") if own and found.sweep is not None else nullcontext():
        outcome = mirror.deliver(again=again)
        if own and found.sweep is not None:
            _note_ids(found, ids)
    if outcome.left.events:
        raise UndeliveredError(
            f"{place.label} did not take everything ({outcome.error}): delivered "
            f"{outcome.points} points, {outcome.left.points} wait in the journal. Try again with: "
            f"raymoco sync {shlex.quote(str(found.folder))}"
            + (f" --uri {shlex.quote(uri)}" if uri else "")
        )
    return Synced(place, outcome)


def _note_ids(found: FoundFolder, ids: dict[str, str]) -> None:
    """Write the ids to the journal and to trials.csv, as a running driver does."""
    assert found.sweep is not None
    folder = SweepFolder(found.folder)
    ledger, journal = load_ledger(folder.journal), Journal(folder.journal)
    for key, run_id in ids.items():
        trial = ledger.trials.get(key)
        if trial is not None and trial.mlflow_run_id != run_id:
            event = Tracked(trial_id=key, run_id=run_id)
            journal.append(event)
            ledger.apply(event)
    journal.close()
    objectives = found.sweep.objectives
    write_trials(folder.trials, ledger, found.sweep.axes, objectives)
