"""The batches that training receives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raymoco.data.shards.row_groups import DecodedRows, Rows


@dataclass(frozen=True)
class Batch:
    """Images (b, C, S, S) uint8, labels (b,) int64 with -1 = hidden or none, row numbers (b,)."""

    images: Tensor
    labels: Tensor
    index: Tensor


def to_batch(rows: DecodedRows, labels: Rows) -> Batch:
    """Convert decoded rows to tensors.

    Args:
        labels: used instead of the rows' own labels: the visible ones, in training.
    """
    arrays = (rows.images, labels, rows.index)
    return Batch(*(torch.from_numpy(np.require(a, requirements=["C", "W"])) for a in arrays))
