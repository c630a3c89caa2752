"""The outcomes per image of a sweep's trials, by cell and seed, read from its predictions files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raymoco.engine.predictions import Predictions, read_classes, read_predictions
from raymoco.errors import DataError
from raymoco.metrics import describe
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import TrialRecord
from raymoco.study.statistics.effects import Contrast
from raymoco.study.statistics.items import Bits, ItemInterval, Numbers, item_interval, mcnemar

ROUNDING = 1e-6  # of an accuracy that was a mean of floats of 32 bits


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What the compared trials of a sweep predicted, all for the same images.

    Attributes:
        by_cell: by cell and seed.
        classes: their names, by number.
        missing: completed trials that left no predictions, by id.
        problems: sentences that say which predictions are left out, and why.
    """

    by_cell: Mapping[str, Mapping[int, Predictions]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(self.by_cell.values())

    @property
    def labels(self) -> NDArray[np.int64]:
        """The true classes of the images (I,)."""
        return next(one.labels for seeds in self.by_cell.values() for one in seeds.values())

    def correct(self, cell: str) -> Bits:
        """Whether a cell's runs were right, (S, I), in the order of its seeds."""
        seeds = self.by_cell[cell]
        return np.stack([seeds[seed].correct for seed in sorted(seeds)])

    def interval(self, contrast: Contrast, seeds: Collection[int]) -> ItemInterval | None:
        """Return a contrast's interval over seeds and images; None if an outcome is missing.

        Args:
            seeds: those of its difference over seeds, so that both are of the same runs.
        """
        cells = [self.by_cell.get(cell, {}) for cell in contrast.weights]
        if not seeds or any(seed not in cell for seed in seeds for cell in cells):
            return None
        weights = list(contrast.weights.values())
        rows = []
        for seed in sorted(seeds):
            runs = np.stack([cell[seed].correct for cell in cells])
            rows.append(np.asarray(weights) @ runs)
        d_SI: Numbers = np.stack(rows)
        two_runs = None
        if len(rows) == 1 and sorted(weights) == [-1, 1]:
            first, second = (cells[weights.index(sign)] for sign in (1, -1))
            (seed,) = seeds
            two_runs = mcnemar(first[seed].correct, second[seed].correct)
        return item_interval(d_SI, two_runs)


def load_outcomes(folder: Path, trials: Iterable[TrialRecord], metric: str) -> Outcomes:
    """Read what the completed ones of some trials predicted, as far as it can be combined.

    A file that is damaged, or whose accuracy is not the journal's, is left out. If two runs were
    judged by different images, all are.

    Args:
        folder: the sweep's.
        trials: the compared ones.
        metric: whose outcomes; of one that has none the result is empty.
    """
    key, files = describe(metric).outcomes, SweepFolder(folder)
    if not key:
        return Outcomes()
    by_cell: dict[str, dict[int, Predictions]] = {}
    missing, problems = list[str](), list[str]()
    classes: tuple[str, ...] = ()
    reference: Predictions | None = None
    first = ""
    for trial in trials:
        if not trial.completed:
            continue
        path = files.predictions_of(trial.trial_id)
        try:
            found = read_predictions(path, key)
            classes = classes or read_classes(path)
        except DataError as error:
            problems.append(f"{error} It is left out.")
            continue
        if found is None:
            missing.append(trial.trial_id)
            continue
        share, score = found.correct.mean(), trial.score(metric)
        if not abs(share - score) <= ROUNDING:
            problems.append(
                f"{path}: {share:.6f} of its {key} are right, but the journal has {score:.6f}. It "
                "is left out."
            )
            continue
        if reference is None:
            reference, first = found, trial.trial_id
        try:
            found = matched(found, reference, (trial.trial_id, first))
        except DataError as error:
            return Outcomes(missing=tuple(missing), problems=(*problems, str(error)))
        by_cell.setdefault(trial.cell, {})[trial.seed] = found
    return Outcomes(by_cell, classes, tuple(missing), tuple(problems))


def joined(parts: Mapping[str, Outcomes]) -> Outcomes:
    """Combine the outcomes of several sweeps; cells are called `PART/CELL`.

    Args:
        parts: by name.
    """
    by_cell: dict[str, Mapping[int, Predictions]] = {}
    problems = [problem for part in parts.values() for problem in part.problems]
    reference: tuple[str, Predictions] | None = None
    for name, part in parts.items():
        for cell, seeds in part.by_cell.items():
            for one in seeds.values():
                reference = reference or (name, one)
                try:
                    matched(one, reference[1], (name, reference[0]))
                except DataError as error:
                    return Outcomes(problems=(*problems, str(error)))
            by_cell[f"{name}/{cell}"] = seeds
    classes = next((part.classes for part in parts.values() if part.classes), ())
    missing = tuple(f"{name}/{one}" for name, part in parts.items() for one in part.missing)
    return Outcomes(by_cell, classes, missing, tuple(problems))


def matched(one: Predictions, other: Predictions, names: tuple[str, str]) -> Predictions:
    """Return predictions with the ids and labels of others, which must be equal.

    Thousands of ids of hundreds of runs are then held once.

    Args:
        names: of the two, for the message.
    Raises:
        DataError: they are not of the same images; says what differs first.
    """
    both = f"the predictions of {names[0]} and {names[1]} cannot be combined"
    if len(one.ids) != len(other.ids):
        raise DataError(f"{both}: they are of {len(one.ids):,} and {len(other.ids):,} images.")
    for word, mine, theirs in (
        ("image", one.ids, other.ids),
        ("label", one.labels, other.labels),
    ):
        differs = np.flatnonzero(mine != theirs)
        if len(differs):
            at = differs[0]
            raise DataError(
                f"{both}: {word} {at} is {mine[at]} in the one, {theirs[at]} in the other."
            )
    return replace(one, ids=other.ids, labels=other.labels)
