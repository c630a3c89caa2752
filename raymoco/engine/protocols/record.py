"""What protocols predict for each judged image, collected over an evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from raymoco.data.loading.prepare import PreparedImages, fetch
from raymoco.engine.predictions import Predictions, write_predictions
from raymoco.engine.protocols.protocol import Keep
from raymoco.metrics import describe


class Record:
    """Collects predictions with the ids and labels of their images.

    Args:
        images: as the driver prepared them; judged are those of a split that have a label.
    """

    def __init__(self, images: PreparedImages) -> None:
        self._images = images
        self._found: dict[str, Predictions] = {}

    def keep(self, split: str) -> Keep:
        """Return what a protocol calls with its predictions on a split."""

        def keep(metric: str, predicted_M: Tensor) -> None:
            of = self._images.splits[split]
            labels = np.asarray(fetch(of.labels))
            judged = labels >= 0
            ids = np.char.decode(np.asarray(fetch(of.ids))[judged], "utf-8")
            key = describe(f"{split}/{metric}").outcomes
            self._found[key] = Predictions(ids, labels[judged], predicted_M.cpu().numpy())

        return keep

    def write(self, path: Path) -> None:
        """Write everything that was kept; no file, if nothing was."""
        if self._found:
            write_predictions(path, self._found, self._images.classes)
