"""The comparison of two single runs: image by image, for the noise of training is not in it."""

from __future__ import annotations

import difflib
from pathlib import Path

from raymoco.engine.metrics_csv import read_metrics
from raymoco.engine.output_folder import RunFolder
from raymoco.engine.predictions import Predictions, read_predictions
from raymoco.errors import DataError
from raymoco.metrics import Row, describe
from raymoco.reading import read_text
from raymoco.study.report.document import Document, Grid, Section
from raymoco.study.report.labels import interval, metric_name, number
from raymoco.study.report.outcome_sections import mcnemar_columns, mcnemar_row
from raymoco.study.statistics.items import item_interval, mcnemar
from raymoco.study.statistics.outcomes import matched

ONE_SEED = (
    "One run each: the intervals are over the images alone. Another training seed may move either "
    "run; for that, train several seeds of each in an ablation."
)


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a single run."""
    return RunFolder(folder).config.exists()


def build_run_comparison(first: Path, second: Path) -> Document:
    """Build the report of two runs: the second against the first.

    Args:
        first, second: their folders.
    Raises:
        DataError: one of them has not ended or left no predictions, or they were judged by
            different images; says which.
    """
    one, two = first.name, second.name
    if one == two:
        one, two = (f"{folder.parent.name}/{folder.name}" for folder in (first, second))
    before, after = _last(first), _last(second)
    said, rows = [], []
    for metric in (name for name in after if describe(name).outcomes and name in before):
        found = [_read(folder, describe(metric).outcomes) for folder in (first, second)]
        old, new = found[0], matched(found[1], found[0], (two, one))
        test = mcnemar(new.correct, old.correct)
        items = item_interval((new.correct.astype(float) - old.correct)[None], test)
        if items is None:
            continue
        difference = number(items.difference, sign=True)
        said.append(
            f"{metric_name(metric)}, {two} instead of {one}: {difference}, {items.words}, on "
            f"{items.images:,} images."
        )
        span = interval(items.low, items.high, sign=True)
        rows.append(
            [metric_name(metric), f"{items.images:,}", difference, span, *mcnemar_row(test)]
        )
    columns = ["metric", "images", "difference", "95 % over the images", *mcnemar_columns(two, one)]
    caption = f"{two} against {one}; p: McNemar's exact test, each for itself"
    grid = Grid(columns, rows, caption, frozenset(columns[1:]))
    sections = [Section("Image by image", grids=[grid]), _configs(first, second, (one, two))]
    return Document(f"{two} against {one}", "", [*said, ONE_SEED], sections, "")


def _last(folder: Path) -> Row:
    rows = read_metrics(RunFolder(folder).metrics)
    if not rows:
        raise DataError(f"{folder}: no epoch of this run has ended, so nothing can be compared.")
    return rows[-1]


def _read(folder: Path, key: str) -> Predictions:
    path = RunFolder(folder).predictions
    found = read_predictions(path, key)
    if found is None:
        raise DataError(
            f"{folder}: there are no predictions of {key} in {path.name}, so it cannot be compared "
            "image by image: the run has not ended, or version 0.1 trained it."
        )
    return found


def _configs(first: Path, second: Path, names: tuple[str, str]) -> Section:
    before, after = (read_text(RunFolder(folder).config).splitlines() for folder in (first, second))
    changed = [line for line in difflib.ndiff(before, after) if line.startswith(("- ", "+ "))]
    rows = [[names[line[0] == "+"], line[2:].strip()] for line in changed]
    if not rows:
        return Section("What differs in the files", ["Nothing."])
    return Section("What differs in the files", grids=[Grid(["run", "line"], rows)])
