"""A sweep's folder: opened once, by one driver at a time, and never overwritten."""

from __future__ import annotations

import difflib
from pathlib import Path

from ruamel.yaml import YAML

from raymoco.engine.output_folder import refuse_foreign
from raymoco.errors import ConfigError
from raymoco.files import is_used, lease
from raymoco.study.journal.ledger import Ledger, load_ledger

CLOSED = ".closed"  # the last thing that a sweep writes: all trials ended, all tables written
FREE = ("budget", "gang")  # what a resume may change; seeds may be added


def open_folder(folder: Path, text: str, resume: bool) -> Ledger:
    """The state of the sweep in a folder; empty if it is new.

    Args:
        text: the resolved sweep file, as sweep.yaml will hold it.
        resume: whether what is there may be gone on with.
    Raises:
        ConfigError: the folder exists and is not to be resumed, or was begun with another file,
            says what differs; or it is no sweep's.
    """
    refuse_foreign(folder, "sweep")
    if not is_used(folder):
        return Ledger()
    if not resume:
        raise ConfigError(
            f"{folder} exists already. Go on with --resume, or choose another name with name=NAME."
        )
    before = folder / "sweep.yaml"
    if before.exists():
        changed = _changes(before.read_text(encoding="utf-8"), text)
        if changed:
            raise ConfigError(
                f"{folder} was begun with another file and cannot go on with this one:\n{changed}"
            )
    with lease(folder, "sweep"):  # refused now rather than once Ray has started
        return load_ledger(folder / "journal.jsonl")


def journal_bytes(folder: Path) -> int:
    """How much has been written down so far."""
    journal = folder / "journal.jsonl"
    return journal.stat().st_size if journal.exists() else 0


def _changes(before: str, now: str) -> str:
    """The lines that differ, but for what a resume may change."""
    was, is_ = (YAML(typ="safe").load(text) for text in (before, now))
    added = set(was.get("seeds", ())) <= set(is_.get("seeds", ()))
    free = (*FREE, "seeds") if added else FREE

    def fixed(text: str) -> list[str]:
        lines, keep = [], True
        for line in text.splitlines():
            if not line.startswith((" ", "-")):
                keep = line.split(":")[0] not in free
            if keep:
                lines.append(line)
        return lines

    lines = difflib.unified_diff(fixed(before), fixed(now), "begun with", "now", lineterm="", n=1)
    return "\n".join(lines)


MARKER = ".raymoco-sweep"  # a file in the sweep's folder: who sees it sees the driver's storage
