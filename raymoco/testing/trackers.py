"""Conformance of a tracker: deliver a sweep at once, in parts, twice, and with faults."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raymoco.errors import InputError
from raymoco.metrics import TRAIN_LOSS
from raymoco.study.journal.find import find
from raymoco.study.mlflow.translate import open_translator
from raymoco.testing.expect import expect
from raymoco.tracking import Change, Mirror, Outcome, Place, RefusedError, TrackingStore, place_of
from raymoco.tracking.open import check_tracking, open_tracking_store

METRIC = TRAIN_LOSS
EPOCHS, TRIALS = (1, 2, 3), {"t000": 0.1, "t001": 0.2}
SWEEP = """\
kind: search
name: small
run: {preset: digits, epochs: 3}
search: {method.temperature: {loguniform: [0.05, 0.5]}}
budget: {trials: 2}
"""


@dataclass(frozen=True)
class HeldRun:
    """The content of one run in a tracker, as read by the tracker's test.

    Args:
        params, tags: by name; values are compared as text.
        points: name, step and value of each metric's values, a metric's in the order held.
        artifacts: their paths in the run.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)
    points: list[tuple[str, int, float]] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)

    def curve(self, metric: str) -> list[tuple[int, float]]:
        """One metric's values, by step."""
        return [(step, value) for name, step, value in self.points if name == metric]


Read = Callable[[Place, str], Mapping[str, HeldRun]]


def check_tracker(tracker: str, read: Read) -> None:
    """Check that a tracker stores a sweep completely, whatever faults occur.

    A journal is delivered as `raymoco sweep` and `raymoco sync` would: all of it must arrive once
    and in order; a second delivery must change nothing; what comes later must be added, also by
    another process; a store that is away, or whose answers are lost, must lose nothing and double
    nothing; what can never be stored must be refused, and the rest stored; sweeps in one store must
    not see each other.

    Args:
        tracker: a value of `tracking.uri`, of an empty store.
        read: called with the place and the owner; returns what the store holds, by key: "" for
            the sweep, a trial's id for a trial.
    Raises:
        AssertionError: says in a sentence what is wrong.
    """
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch)
        try:
            check_tracking(tracker, output)
        except InputError as error:
            raise AssertionError(str(error)) from error
        for check in (_arrives_once, _goes_on, _survives_faults, _refuses):
            check(_Sweep(output / check.__name__.strip("_"), tracker, read))
        one, other = (_Sweep(output / name, tracker, read) for name in ("one", "other"))
        one.write(EPOCHS)
        one.deliver()
        found = open_tracking_store(other.place, other.owner).ids
        expect(not found, f"{tracker} shows one sweep the runs of another: {sorted(found)}.")


def _arrives_once(sweep: _Sweep) -> None:
    sweep.write(EPOCHS)
    (sweep.place.folder / "trials.csv").write_text("trial_id\n", encoding="utf-8")
    sweep.deliver()
    sweep.expect_whole("after one delivery")
    held = sweep.held()
    for key, temperature in TRIALS.items():
        name = f"{sweep.name}, run '{key}'"
        given = str(held[key].params.get("method.temperature"))
        expect(given == str(temperature), f"{name}: the param method.temperature is {given}.")
        state = str(held[key].tags.get("raymoco.state"))
        expect(state == "completed", f"{name}: the tag raymoco.state is {state}, not the last one.")
    for artifact in ("sweep.yaml", "trials.csv"):
        kept = artifact in held[""].artifacts
        expect(kept, f"{sweep.name}: the artifact {artifact} is not kept.")
    before = sweep.held()
    sweep.deliver(again=True)
    expect(sweep.held() == before, f"{sweep.name}: a second delivery of the same changes it.")


def _goes_on(sweep: _Sweep) -> None:
    sweep.write(EPOCHS[:1], ended=False)
    sweep.deliver()
    known = open_tracking_store(sweep.place, sweep.owner).ids
    missing = sorted({"", *TRIALS} - set(known))
    expect(not missing, f"{sweep.name}: opened again, it does not find the runs {missing}.")
    sweep.write(EPOCHS)
    sweep.deliver()
    sweep.expect_whole("after a delivery in two pieces")


def _survives_faults(sweep: _Sweep) -> None:
    sweep.write(EPOCHS)
    faults = _Faults()
    for _ in range(40):
        # a new mirror each time: all its state must come from the store and its file
        if not sweep.deliver(opens=faults.open, whole=False).left.events:
            break
    sweep.expect_whole("after a delivery to a store that was away now and then")


def _refuses(sweep: _Sweep) -> None:
    sweep.write(EPOCHS)
    store = open_tracking_store(sweep.place, sweep.owner)
    try:
        store.write(Change("nobody", 1.0, tags={"raymoco.state": "running"}))
    except RefusedError:
        pass
    else:
        expect(False, f"{sweep.name}: it takes a change of a run that nobody has begun.")
    sweep.deliver()
    sweep.expect_whole("after a change that it refused")


class _Sweep:
    """A sweep's folder, and what its tracker holds."""

    def __init__(self, folder: Path, tracker: str, read: Read) -> None:
        folder.mkdir(parents=True)
        (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
        self.place = place_of(folder, tracker, None)
        self.owner, self.name, self._read = f"sweep-{folder.name}", tracker, read

    def write(self, epochs: tuple[int, ...], *, ended: bool = True) -> None:
        """Write the journal of the sweep, with reports of these epochs."""
        events: list[dict[str, Any]] = [
            {"event": "begun", "id": self.owner, "tags": {}, "host": "-", "pid": 1, "started": "-"}
        ]
        for key, temperature in TRIALS.items():
            values = {"method.temperature": temperature}
            about = {"trial_id": key, "seed": 0, "cell": "", "values": values, "config": "seed: 0"}
            events.append({"event": "proposed", **about})
            events.append({"event": "assigned", "trial_id": key, "attempt": 0, "gang": "g0"})
        for epoch in epochs:
            row = {"epoch": epoch, "train_seconds": 1.0, METRIC: 1 / epoch}
            about = {"row": row, "checkpoint": None}
            events += [{"event": "report", "trial_id": key, **about} for key in TRIALS]
        if ended:
            about = {"state": "completed", "reason": ""}
            events += [{"event": "ended", "trial_id": key, **about} for key in TRIALS]
            events.append({"event": "closed", "state": "completed"})
        lines = [json.dumps({"time": 1e9 + n, **event}) + "\n" for n, event in enumerate(events)]
        self.place.journal.write_text("".join(lines), encoding="utf-8")

    def deliver(
        self,
        *,
        again: bool = False,
        whole: bool = True,
        opens: Callable[[Place, str], TrackingStore] = open_tracking_store,
    ) -> Outcome:
        """Deliver the journal, as `raymoco sync` does."""
        translator = open_translator(find(str(self.place.folder)))
        outcome = Mirror(self.place, translator, opens=opens).deliver(again=again)
        if whole:
            problems = [*outcome.refused, *([outcome.error] if outcome.left.events else [])]
            expect(not problems, f"{self.name} does not take a whole journal: {problems}.")
        return outcome

    def held(self) -> dict[str, HeldRun]:
        return dict(self._read(self.place, self.owner))

    def expect_whole(self, when: str) -> None:
        """Check that every run is there, with each of its values once and in order."""
        held = self.held()
        keys = {"", *TRIALS}
        expect(set(held) == keys, f"{self.name} holds the runs {sorted(held)} {when}.")
        curve = [(epoch, 1 / epoch) for epoch in EPOCHS]
        for key in TRIALS:
            found = held[key].curve(METRIC)
            expect(
                found == curve,
                f"{self.name}, run '{key}': {METRIC} is {found} {when}, but must be {curve}.",
            )


AWAY = frozenset({1, 6, 15, 28})  # calls, counted from the first one that opens the store
LOST = frozenset({3, 10, 21, 36})


class _Faults:
    """Makes some calls fail: before the store is reached, or after it has obeyed."""

    def __init__(self) -> None:
        self.calls = 0

    def open(self, place: Place, owner: str) -> TrackingStore:
        """Open the store with faults."""
        self.begin()
        return _Faulty(place, owner, self)

    def begin(self) -> None:
        """Count a call, and maybe fail before it reaches the store."""
        self.calls += 1
        if self.calls in AWAY:
            raise ConnectionError("connection refused")

    def end(self) -> None:
        """Maybe fail after the store has obeyed."""
        if self.calls in LOST:
            raise ConnectionError("timed out")


class _Faulty:
    """A store some of whose calls fail."""

    def __init__(self, place: Place, owner: str, faults: _Faults) -> None:
        self._store, self._faults = open_tracking_store(place, owner), faults
        self.ids = self._store.ids

    def write(self, change: Change) -> None:
        self._faults.begin()
        self._store.write(change)
        self.ids = self._store.ids
        self._faults.end()
