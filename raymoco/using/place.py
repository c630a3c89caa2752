"""Which trained encoder a word on the command line means."""

from __future__ import annotations

from dataclasses import dataclass
from os.path import exists, isdir  # Path's own raise where a name is too long
from pathlib import Path

from raymoco.engine.checkpoint import PATTERN, find_checkpoint, newest_in
from raymoco.errors import DataError
from raymoco.metrics import describe
from raymoco.reading import expanded
from raymoco.study.journal.find import find_folder
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import Ledger, load_ledger
from raymoco.study.journal.ranking import ranked
from raymoco.study.results import best_first
from raymoco.study.sweepfile.load import read_sweep

NAMED = 5  # trials in a message


@dataclass(frozen=True)
class Place:
    """A checkpoint, and how it was found.

    Attributes:
        checkpoint: the file.
        name: of the run or the trial; the file's, if a checkpoint was named.
        folder: of the run or the sweep; None for a single checkpoint.
        trial: the id of the trial, in a sweep.
        note: what was chosen of several, in words; empty if there was nothing to choose.
    """

    checkpoint: Path
    name: str
    folder: Path | None = None
    trial: str | None = None
    note: str = ""


def find_place(word: str | Path) -> Place:
    """Find a trained encoder.

    Args:
        word: a checkpoint, a folder of checkpoints, a run, a sweep (its best trial), or a trial as
            SWEEP/TRIAL; runs and sweeps by folder, or by name in `runs`.
    Raises:
        DataError: nothing of that name, no checkpoint there, or no trial that has one.
        ConfigError: the sweep's file cannot be read.
    """
    path = expanded(word)
    if exists(path) and not isdir(path):
        return Place(path, path.stem)
    if isdir(path) and newest_in(path) is not None:
        owner = path.parent if path.name == "checkpoints" else path
        return Place(find_checkpoint(path), owner.name)
    text = str(word).rstrip("/")
    parent, _, trial = text.rpartition("/")
    if parent and not isdir(path) and SweepFolder(_folder(parent, text)).spec.is_file():
        return _of_trial(SweepFolder(_folder(parent, text)), trial)
    folder = find_folder(text)
    sweep = SweepFolder(folder)
    if sweep.spec.is_file():
        return _best(sweep)
    if not (folder / "checkpoints").is_dir() and (inside := sorted(folder.glob("*/checkpoints"))):
        names = ", ".join(one.parent.name for one in inside[:NAMED])
        raise DataError(f"{folder}: neither a run nor a sweep; in it lie {names}: name one.")
    return Place(find_checkpoint(folder), folder.name, folder)


def _folder(parent: str, whole: str) -> Path:
    try:
        return find_folder(parent)
    except DataError:
        raise DataError(
            f"'{whole}': no such checkpoint, folder, run or sweep, and no sweep '{parent}'."
        ) from None


def _of_trial(sweep: SweepFolder, trial: str) -> Place:
    found = newest_in(sweep.checkpoints_of(trial))
    if found is not None:
        return Place(found, f"{sweep.path.name}/{trial}", sweep.path, trial)
    known = [one.trial_id for one in _ledger(sweep).all()]
    if trial not in known:
        some = ", ".join(known[:NAMED]) + (", ..." if len(known) > NAMED else "")
        raise DataError(f"{sweep.path}: no trial is called '{trial}'; there are {some or 'none'}.")
    raise DataError(
        f"{sweep.path}: trial {trial} has no checkpoint (looked for {PATTERN} in "
        f"{sweep.checkpoints_of(trial)}): it has trained no epoch, or only better trials kept "
        "theirs."
    )


def _best(folder: SweepFolder) -> Place:
    """The best trial of a sweep that has a checkpoint."""
    sweep, ledger = read_sweep(folder.spec), _ledger(folder)
    trials = best_first(sweep, ledger) or ranked(ledger.all(), sweep.objectives[0])
    kept = {one.trial_id: newest_in(folder.checkpoints_of(one.trial_id)) for one in trials}
    ends = [one for one in trials if kept[one.trial_id] is not None]
    if not ends:
        raise DataError(f"{folder.path}: no trial has completed and kept its checkpoint.")
    best, metric = ends[0], sweep.objectives[0].metric
    note = f"{folder.path.name}: {best.trial_id} is taken, the best of {len(trials)} by {metric}"
    if best is not trials[0]:
        note += f" that has a checkpoint ({trials[0].trial_id} has none)"
    if describe(metric).split == "test":
        note += "; chosen on the test set, so its test values are too good"
    name = f"{folder.path.name}/{best.trial_id}"
    newest = kept[best.trial_id]
    assert newest is not None
    return Place(newest, name, folder.path, best.trial_id, note)


def _ledger(folder: SweepFolder) -> Ledger:
    return load_ledger(folder.journal)
