"""The journal: an append-only file with one event per line, as a JSON object.

Resume, status, reports and MLflow all read it. This module has the file and the events that sweeps
and single runs share; study/journal/events.py has a sweep's events, engine/run_events.py a run's.
"""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args, get_origin, get_type_hints

from raymoco.errors import DataError
from raymoco.files import writing
from raymoco.reading import read_text, shown

JOURNAL = "journal.jsonl"
NUMBERS = {int, float}


class RunState(StrEnum):
    """The state of a sweep or of a single run as a whole; each trial has a `TrialState`.

    A journal's `closed` event has `completed`, `stopped` or `failed`; without one, readers conclude
    one of the others. `interrupted`: the process is gone without a `closed` event.
    """

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """An event and its time.

    `kind` is its name in the file; the fields are written under their own names, in this order.
    """

    kind: ClassVar[str]
    delivered: ClassVar[bool] = True  # whether it is delivered to a tracker

    time: float = field(default_factory=time.time)  # when it happened, not when it was written

    @property
    def points(self) -> int:
        """The number of metric values in it."""
        return 0

    @classmethod
    def complete(cls, values: dict[str, Any]) -> None:
        """Add the fields that an older version did not write."""

    def to_dict(self) -> dict[str, Any]:
        """The event as it is written to the file."""
        names = [one.name for one in fields(self) if one.name != "time"]
        values = {name: getattr(self, name) for name in names}
        return {"time": self.time, "event": self.kind, **values}


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun(Event):
    """The first event of every process that writes a journal: its owner, and the process.

    The first process creates `id`, the identity of the sweep or the run, and later ones keep it;
    `tags` are the provenance of the results: data, code, versions, device.
    """

    kind: ClassVar[str] = "begun"

    id: str
    tags: dict[str, str]
    host: str
    pid: int
    started: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed(Event):
    """The last event of a process that was not killed."""

    kind: ClassVar[str] = "closed"

    state: RunState


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown(Event):
    """An event of a newer version, which readers skip; `line` is the whole line of the file."""

    kind: ClassVar[str] = ""

    line: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The event as it is written to the file."""
        return self.line


@dataclass(frozen=True)
class _Layout:
    """The layout of an event in the file: its fields, the required ones, and its states.

    `checks` says of each other field whether a value can be its own.
    """

    cls: type[Event]
    names: tuple[str, ...]
    required: tuple[str, ...]
    states: tuple[tuple[str, type[StrEnum]], ...]
    checks: tuple[tuple[str, Callable[[Any], bool]], ...]


def _layout(cls: type[Event]) -> _Layout:
    found = fields(cls)
    hints = get_type_hints(cls)
    return _Layout(
        cls,
        tuple(one.name for one in found),
        # the default of `time` is for new events only
        tuple(
            one.name
            for one in found
            if one.name == "time" or (one.default is MISSING and one.default_factory is MISSING)
        ),
        tuple(
            (one.name, hint)
            for one in found
            if isinstance(hint := hints[one.name], type) and issubclass(hint, StrEnum)
        ),
        tuple(
            (one.name, _check_of(hint))
            for one in found
            if not (isinstance(hint := hints[one.name], type) and issubclass(hint, StrEnum))
        ),
    )


def _check_of(hint: Any) -> Callable[[Any], bool]:
    """Whether a value of the file can be that of a field with this annotation."""
    if isinstance(hint, UnionType):
        checks = [_check_of(one) for one in get_args(hint)]
        return lambda value: any(check(value) for check in checks)
    if get_origin(hint) is dict:
        inner = get_args(hint)[1]
        if inner is Any:
            return lambda value: type(value) is dict
        if inner is str:
            return lambda value: (
                type(value) is dict and all(type(text) is str for text in value.values())
            )
        return _is_row
    if hint is float:
        return lambda value: type(value) in NUMBERS and math.isfinite(value)
    return lambda value: type(value) is hint


def _is_row(value: Any) -> bool:
    """Whether a value is the row of an epoch: numbers by column, and which epoch it is."""
    if type(value) is not dict or not set(map(type, value.values())) <= NUMBERS:
        return False
    epoch = value.get("epoch")
    return epoch is not None and 0 <= epoch < 2**31 and epoch == int(epoch)


E = TypeVar("E", bound=Event)


class EventKinds(Generic[E]):
    """The events of one kind of journal, by their names in the file.

    Args:
        classes: of all its events; E has `Unknown` too, for those of newer versions.
    """

    def __init__(self, classes: Iterable[type[E]]) -> None:
        self.classes = {cls.kind: cls for cls in classes if cls is not Unknown}
        self._layouts = {kind: _layout(cls) for kind, cls in self.classes.items()}

    def load(self, line: Any) -> E:
        """Parse a line of a journal; fields of a newer version are skipped.

        Raises:
            DataError: it is no event, or lacks a field.
        """
        try:
            layout, kind = self._layouts.get(line["event"]), line["event"]
            if layout is None:
                if type(line["time"]) not in NUMBERS or not math.isfinite(line["time"]):
                    raise KeyError("time")
                return cast(E, Unknown(time=line["time"], line=line))
        except (TypeError, KeyError):
            raise DataError("not an event: it has no 'event' or no 'time'.") from None
        values = {name: line[name] for name in layout.names if name in line}
        if len(values) < len(layout.names):
            layout.cls.complete(values)
            for name in layout.required:
                if name not in values:
                    raise DataError(f"the event '{kind}' has no '{name}'.")
        for name, fits in layout.checks:
            if name in values and not fits(values[name]):
                raise DataError(
                    f"{name} of the event '{kind}' is {str(values[name])[:80]!r}, which it cannot "
                    "be; the file was changed."
                )
        for name, states in layout.states:
            if name in values:
                values[name] = _state(kind, name, values[name], states)
        return cast(E, layout.cls(**values))


def _state(kind: str, name: str, value: Any, states: type[StrEnum]) -> StrEnum:
    try:
        return states(value)
    except (ValueError, TypeError):  # a list is no state either
        known = ", ".join(repr(str(state)) for state in states)
        raise DataError(
            f"{name} of the event '{kind}' is {value!r}, but must be one of {known}."
        ) from None


class Journal:
    """Appends events to a file and syncs each to the disk; several threads may use it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_incomplete_line(path)
        # unbuffered: what did not fit on a full disk must not wait in memory for the next event
        self._stream = path.open("ab", buffering=0)

    def append(self, event: Event) -> None:
        """Write one event and sync it to the disk; all of it or nothing.

        Raises:
            DiskFullError: there is no room for it.
        """
        line = (json.dumps(event.to_dict()) + "\n").encode()
        with self._lock, writing(self._path, len(line)):
            before = os.fstat(self._stream.fileno()).st_size
            try:
                rest = line
                while rest:  # the last bytes of a disk are written, and no more
                    rest = rest[self._stream.write(rest) :]
                os.fsync(self._stream.fileno())
            except OSError:
                os.ftruncate(self._stream.fileno(), before)
                raise

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_journal(path: Path, kinds: EventKinds[E]) -> list[E]:
    """Read all events of a journal. An incomplete last line (killed while writing) is skipped.

    Raises:
        DataError: a line before the last is not an event.
    """
    if not path.exists():
        return []
    lines, name = read_text(path, DataError).split("\n"), shown(path)
    return [
        _read_line(line, kinds, f"{name}:", number)
        for number, line in enumerate(lines[:-1], start=1)  # after the last newline: incomplete
    ]


def read_on(
    path: Path, kinds: EventKinds[E], offset: int, lines: int, until: int | None = None
) -> tuple[list[E], int]:
    """Read the next complete events of a journal that may still grow.

    Args:
        offset: where an earlier call ended, in bytes; 0 for the beginning.
        lines: the largest number of events to read.
        until: stop at this offset, in bytes.
    Returns:
        The events, and the offset after the last of them.
    Raises:
        DataError: a complete line is not an event.
    """
    events: list[E] = []
    if not path.exists():
        return events, offset
    with path.open("rb") as stream:
        stream.seek(offset)
        while len(events) < lines and (until is None or offset < until):
            line = stream.readline()
            if not line.endswith(b"\n"):  # incomplete, or being written
                break
            events.append(_read_line(line, kinds, f"{path}: byte ", offset))
            offset += len(line)
    return events, offset


def _read_line(line: str | bytes, kinds: EventKinds[E], where: str, place: int) -> E:
    try:
        return kinds.load(json.loads(line))
    except (ValueError, RecursionError):
        raise DataError(f"{where}{place}: not a journal line; the file was changed.") from None
    except DataError as error:
        raise DataError(f"{where}{place}: {error}") from None


def cut_incomplete_line(path: Path) -> None:
    """Remove an incomplete last line, left by a kill or a full disk.

    Otherwise the next event would be appended to it.
    """
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with path.open("r+b") as stream:
            stream.truncate(whole)


def count_points(row: Mapping[str, float | int]) -> int:
    """The number of metric values in a row: the columns with a slash in their name."""
    return sum("/" in name for name in row)


def begun(identity: str, tags: dict[str, str]) -> Begun:
    """The event with which this process starts a journal."""
    pid = os.getpid()
    return Begun(id=identity, tags=tags, host=socket.gethostname(), pid=pid, started=_start_of(pid))


def is_alive(event: Begun) -> bool | None:
    """Whether the process of a `begun` event still runs; None if it ran on another machine."""
    if event.host != socket.gethostname():
        return None
    return _start_of(event.pid) == event.started


def _start_of(pid: int) -> str:
    """The start time of a process, '' if there is none: it tells reused pids apart."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
