"""Predictions files: what a run predicted for each image that judged it.

NumPy's npz, with four arrays of N images for each split and protocol, such as `test/knn/id`:
`id` text, `label` int64, `predicted` int64 and `correct` bool; and `classes`, the classes' names.
Which metric they belong to is `raymoco.metrics.Metric.outcomes`. Nothing here needs torch.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raymoco.errors import DataError
from raymoco.files import write_atomically
from raymoco.reading import read_bytes

CLASSES = "classes"
ARRAYS = ("id", "label", "predicted", "correct")
KINDS = dict(zip((CLASSES, *ARRAYS), "UUiib", strict=True))  # NumPy's letters for the types


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one protocol predicted on one split.

    Attributes:
        ids: of the images (N,), text, as in the shards; the same in every run on these images.
        labels: their true classes (N,) int64.
        predicted: the predicted classes (N,) int64.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each prediction is right (N,); its mean is the metric."""
        return np.equal(self.predicted, self.labels)


def write_predictions(
    path: Path, found: Mapping[str, Predictions], classes: tuple[str, ...]
) -> None:
    """Write a predictions file atomically; the same predictions give the same bytes.

    Args:
        found: by split and protocol, such as `test/knn`.
        classes: names of the classes, by number.
    """
    arrays: dict[str, NDArray[Any]] = {CLASSES: np.array(classes, dtype=np.str_)}
    for key, one in found.items():
        values = (one.ids, one.labels, one.predicted, one.correct)
        arrays |= {f"{key}/{name}": value for name, value in zip(ARRAYS, values, strict=True)}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # mypy: allow_pickle is a bool
    write_atomically(path, stream.getvalue())


def read_predictions(path: Path, key: str) -> Predictions | None:
    """Read the predictions of one protocol on one split.

    Args:
        key: such as `test/knn`.
    Returns:
        None if the file, or the protocol in it, is not there: version 0.1 wrote none.
    Raises:
        DataError: the file is damaged; names it.
    """
    found = _read(path, [f"{key}/{name}" for name in ARRAYS])
    if found is None:
        return None
    ids, labels, predicted, correct = found
    read = Predictions(ids, labels, predicted)
    alike = ids.ndim == 1 and ids.shape == labels.shape == predicted.shape
    if not alike or not np.array_equal(read.correct, correct):
        raise DataError(f"{path} is damaged: the arrays of {key} do not belong together.")
    return read


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the names of the classes, by number; empty if the file is not there.

    Raises:
        DataError: the file is damaged; names it.
    """
    found = _read(path, [CLASSES])
    return () if found is None else tuple(found[0].tolist())


def _read(path: Path, names: list[str]) -> list[NDArray[Any]] | None:
    """Read some arrays; None if the file or any of them is not there."""
    if not path.exists():
        return None
    try:
        # from memory: NumPy leaves a damaged file open
        with np.load(io.BytesIO(read_bytes(path, DataError)), allow_pickle=False) as arrays:
            if not set(names) <= set(arrays.files):
                return None
            found = [arrays[name] for name in names]
    except Exception as error:  # noqa: BLE001 - damaged bytes can raise any error
        raise DataError(f"{path} is damaged: {str(error).rstrip('.')}.") from None
    for name, array in zip(names, found, strict=True):
        if array.dtype.kind != KINDS[name.rpartition("/")[2]]:
            key = name.rpartition("/")[0]
            raise DataError(
                f"{path} is damaged: the arrays of {key} do not belong together: {name} is of type "
                f"{array.dtype}."
            )
    return found
