"""What happened, append-only, a JSON object a line: the truth that everything else is read from."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from raymoco.errors import DataError

Event = dict[str, Any]
JOURNAL = "journal.jsonl"


class Journal:
    """A file of one JSON event a line; appended, flushed and synced, safe from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_torn_line(path)
        self._stream = path.open("a", encoding="utf-8")

    def append(self, event: Event) -> Event:
        """Write one event, with the time if it has none, and return it."""
        event = {"time": time.time(), **event}
        with self._lock:
            self._stream.write(json.dumps(event) + "\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
        return event

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_journal(path: Path) -> list[Event]:
    """All whole events of a journal; a torn last line, as a kill leaves it, is not one.

    Raises:
        DataError: a line before the last is not JSON.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    events = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is torn
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            raise DataError(f"{path}:{number}: not a journal line; the file was changed.") from None
    return events


def read_on(
    path: Path, offset: int, lines: int, until: int | None = None
) -> tuple[list[Event], int]:
    """The next whole events of a journal that may still grow.

    Args:
        offset: where an earlier call ended, in bytes; 0 for the beginning.
        lines: at most so many.
        until: end here at the latest, in bytes.
    Returns:
        The events, and the offset behind the last of them.
    Raises:
        DataError: a whole line is not JSON.
    """
    events: list[Event] = []
    if not path.exists():
        return events, offset
    with path.open("rb") as stream:
        stream.seek(offset)
        while len(events) < lines and (until is None or offset < until):
            line = stream.readline()
            if not line.endswith(b"\n"):  # torn, or being written
                break
            try:
                events.append(json.loads(line))
            except ValueError:
                raise DataError(f"{path}: byte {offset}: not a journal line.") from None
            offset += len(line)
    return events, offset


def cut_torn_line(path: Path) -> None:
    """Cut off what a kill or a full disk has left of a last line: no other is written behind it."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with path.open("r+b") as stream:
            stream.truncate(whole)


def begun(identity: str, tags: dict[str, str]) -> Event:
    """The event that every process which writes a journal begins with.

    Args:
        identity: of the sweep or the run; made by the first process, kept by all later ones.
        tags: what a result came from: data, code, versions, device.
    """
    return {"event": "begun", "id": identity, "tags": tags, **_this_process()}


def is_alive(event: Event) -> bool | None:
    """Whether the process of a `begun` event still runs; None on another machine, unknown here."""
    if event["host"] != socket.gethostname():
        return None
    return bool(_start_of(event["pid"]) == event["started"])


def _this_process() -> Event:
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": _start_of(pid)}


def _start_of(pid: int) -> str:
    """When the kernel started a process, '' if there is none: pids are used again."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
