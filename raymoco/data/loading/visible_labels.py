"""Which labels pre-training may see."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from raymoco.config import DataConfig
from raymoco.data.loading.label_list import listed_rows, read_list
from raymoco.data.shards.row_groups import HIDDEN
from raymoco.data.splits import unit_hash
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
        listed[listed_rows(data, ids, elsewhere)[0]] = True
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
    return len(read_list(absolute(labelled_list)))
