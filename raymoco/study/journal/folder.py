"""A sweep's folder: its files, its only writer, and the keys that a resume may change.

Only one driver at a time writes to it, and a sweep never overwrites another one.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymoco.engine.output_folder import RAY_FOLDER, refuse_foreign
from raymoco.errors import ConfigError
from raymoco.event_log import JOURNAL
from raymoco.locks import is_used, lease
from raymoco.reading import read_text
from raymoco.study.journal.ledger import Ledger, load_ledger
from raymoco.study.sweepfile.load import read_sweep
from raymoco.yaml_tree import NotYaml, plain

FIGURES = "figures"
FREE = ("budget", "gang")  # sections that a resume may change; it may also add seeds


@dataclass(frozen=True)
class SweepFolder:
    """The paths of the files in a sweep's folder."""

    path: Path

    @property
    def spec(self) -> Path:
        """The resolved sweep file."""
        return self.path / "sweep.yaml"

    @property
    def journal(self) -> Path:
        """All events; from these every other file but the checkpoints can be rewritten."""
        return self.path / JOURNAL

    @property
    def optuna_log(self) -> Path:
        """The study of a search, in Optuna's own storage."""
        return self.path / "optuna.log"

    @property
    def trials(self) -> Path:
        """A row per trial."""
        return self.path / "trials.csv"

    @property
    def cells(self) -> Path:
        """The mean of each cell of an ablation."""
        return self.path / "cells.csv"

    @property
    def comparisons(self) -> Path:
        """Each cell against the baseline."""
        return self.path / "comparisons.csv"

    @property
    def effects(self) -> Path:
        """The main effects and the interactions of factors."""
        return self.path / "effects.csv"

    @property
    def best(self) -> Path:
        """The config of the best trial, for training it again."""
        return self.path / "best.yaml"

    @property
    def summary(self) -> Path:
        """The report's answer in a few lines, which MLflow shows with the sweep."""
        return self.path / "summary.md"

    @property
    def figures(self) -> Path:
        """The folder of the report's figures."""
        return self.path / FIGURES

    @property
    def logs(self) -> Path:
        """The folder of the trials' logs."""
        return self.path / "logs"

    @property
    def checkpoints(self) -> Path:
        """The folder of all trials' checkpoints."""
        return self.path / "checkpoints"

    @property
    def ray(self) -> Path:
        """The folder of Ray's own files."""
        return self.path / RAY_FOLDER

    @property
    def lease(self) -> Path:
        """Locked by the process that runs the sweep."""
        return self.path / ".lease"

    @property
    def marker(self) -> Path:
        """A worker that sees this file sees the same storage as the driver."""
        return self.path / ".raymoco-sweep"

    @property
    def closed(self) -> Path:
        """Written last: all trials have ended and all tables are written."""
        return self.path / ".closed"

    @property
    def artifacts(self) -> list[Path]:
        """The files of an ended sweep that MLflow keeps; some may not exist."""
        tables = [self.trials, self.cells, self.comparisons, self.effects]
        reports = [self.report(suffix) for suffix in ("html", "md", "tex")]
        return [self.spec, self.best, *tables, *reports, *sorted(self.figures.glob("*"))]

    def report(self, suffix: str) -> Path:
        """The report with the suffix `html`, `md` or `tex`."""
        return self.path / f"report.{suffix}"

    def log(self, trial_id: str) -> Path:
        """The log of one trial."""
        return self.logs / f"{trial_id}.txt"

    def checkpoints_of(self, trial_id: str) -> Path:
        """The folder of one trial's checkpoints."""
        return self.checkpoints / trial_id

    def predictions_of(self, trial_id: str) -> Path:
        """What one trial predicted for each image that judged it; see engine/predictions.py."""
        return self.path / "predictions" / f"{trial_id}.npz"

    def schedule(self, trial_id: str) -> Path:
        """The config of a member of a population, with all its changes."""
        return self.path / "schedules" / f"{trial_id}.yaml"


def open_folder(folder: Path, text: str, resume: bool) -> Ledger:
    """Load the state of the sweep in a folder; an empty ledger if the folder is new.

    Args:
        text: the resolved sweep file, as sweep.yaml will contain it.
        resume: whether an existing sweep may be continued.
    Raises:
        ConfigError: the folder exists and `resume` is not set; or it was begun with another file,
            whose different lines are named; or it is not a sweep's.
    """
    refuse_foreign(folder, "sweep")
    if not is_used(folder):
        return Ledger()
    if not resume:
        raise ConfigError(
            f"{folder} exists already. Go on with --resume, or choose another name with name=NAME."
        )
    before = SweepFolder(folder).spec
    if before.exists():
        changed = _changes(read_text(before), text)
        if changed:
            changed = _changes(_as_written_now(before), text)
        if changed:
            raise ConfigError(
                f"{folder} was begun with another file and cannot go on with this one:\n{changed}"
            )
    with lease(folder, "sweep"):  # refuse before Ray starts
        return load_ledger(SweepFolder(folder).journal)


def journal_bytes(folder: Path) -> int:
    """The size of the journal, 0 if there is none."""
    journal = SweepFolder(folder).journal
    return journal.stat().st_size if journal.exists() else 0


def _as_written_now(file: Path) -> str:
    """Rewrite an older version's sweep.yaml with the keys that this version writes out."""
    try:
        return read_sweep(file).spec.to_yaml()
    except ConfigError:  # no longer readable: compare it as it was written
        return read_text(file)


def _changes(before: str, now: str) -> str:
    """Return the lines that differ, except for keys that a resume may change."""
    was, is_ = _tree(before), _tree(now)
    old, new = was.get("seeds") or [], is_.get("seeds") or []
    added = all(seed in new for seed in old) if isinstance(old, list) else False
    if "seeds" in (is_.get("tune") or {}):  # their order says which tuning each seed belongs to
        added = new[: len(old)] == old
    # with looks the order of seeds says which of them a look has, and their number is planned
    # where the output is, the folder says itself
    free = (*FREE, "output", *["seeds"] * (added and "looks" not in is_))

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


def _tree(text: str) -> dict[str, Any]:
    """The values of a resolved file; empty if it is damaged, which the lines then show."""
    try:
        found = plain(text)
    except NotYaml:
        return {}
    return found if isinstance(found, dict) else {}
