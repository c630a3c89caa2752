"""Which labels pre-training may see."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raymoco.config import DataConfig
from raymoco.data.shards.row_groups import HIDDEN
from raymoco.data.splits import unit_hash
from raymoco.errors import DataError
from raymoco.files import absolute


def visible_labels(
    ids: Sequence[str],
    labels: NDArray[np.int64],
    data: DataConfig,
    seed: int,
    elsewhere: Collection[str] = (),
) -> NDArray[np.int64]:
    """Return the labels that pre-training sees, -1 where there is none or it is hidden.

    A label is hidden when the hash of label seed and id is at or above `data.labelled_fraction`, so
    a larger fraction contains every smaller one. With `data.labelled_list` the fraction is taken
    of the listed images only.

    Args:
        ids: the images' ids, N of them.
        labels: the true labels (N,), -1 for images that have none.
        seed: the run's seed; used where `data.label_seed` is null.
        elsewhere: ids that the list may contain although they are not among `ids`: images of the
            eval split, or beyond `data.limit`.
    Returns:
        (N,) int64.
    Raises:
        DataError: the list is missing, or it names images that are not there, or not just one.
    """
    label_seed = seed if data.label_seed is None else data.label_seed
    visible = labels >= 0
    if data.labelled_list is not None:
        listed = np.zeros(len(labels), dtype=bool)
        listed[_listed_rows(absolute(data.labelled_list), ids, elsewhere)] = True
        visible &= listed
    if data.labelled_fraction < 1:
        for row in np.flatnonzero(visible).tolist():
            visible[row] = unit_hash(f"{label_seed}:{ids[row]}") < data.labelled_fraction
    return np.where(visible, labels, HIDDEN).astype(np.int64)


def count_listed(labelled_list: str) -> int:
    """Return how many images a label list names.

    Raises:
        DataError: it cannot be read.
    """
    return len(_listed_names(absolute(labelled_list)))


def _listed_names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data.labelled_list {path}: cannot be read: {error}") from None
    return [line.strip() for line in lines if line.strip()]


def _listed_rows(path: Path, ids: Sequence[str], elsewhere: Collection[str]) -> list[int]:
    """Rows of the images that the file lists by id, or by file name where that is unique."""
    names = _listed_names(path)
    rows = {image_id: row for row, image_id in enumerate(ids)}
    known = {*ids, *elsewhere}
    by_file_name: dict[str, list[str]] = {}
    for image_id in known:
        by_file_name.setdefault(image_id.rpartition("/")[2], []).append(image_id)
    found: list[str] = []
    unknown: list[str] = []
    for name in names:
        candidates = [name] if name in known else by_file_name.get(name, [])
        if len(candidates) > 1:
            raise DataError(
                f"data.labelled_list {path}: {len(candidates)} images are called '{name}'; give "
                f"their ids, such as '{min(candidates)}'."
            )
        (found if candidates else unknown).append(candidates[0] if candidates else name)
    if unknown:
        raise DataError(
            f"data.labelled_list {path}: {len(unknown)} of its {len(names)} names are no training "
            f"images; the first is '{unknown[0]}'."
        )
    return [rows[image_id] for image_id in found if image_id in rows]
