"""kNN: the weighted vote of the nearest neighbors."""

from __future__ import annotations

from raymoco.config import KnnConfig
from raymoco.engine.probes import Features, knn_top1
from raymoco.engine.protocols.protocol import LABELS, TRAIN, Evaluation
from raymoco.metrics import EVAL_KNN, LISTED, TEST_KNN, short_name


class Knn:
    """Classifies each image by a vote of its nearest images in the train split."""

    Options = KnnConfig
    metrics = (LISTED[EVAL_KNN], LISTED[TEST_KNN])
    needs = (TRAIN, LABELS)

    def __init__(self, options: KnnConfig) -> None:
        self._options = options

    def measure(self, train: Features, judged: Features, about: Evaluation) -> dict[str, float]:
        """Return the share of images that the vote classifies correctly."""
        k, temperature = self._options.k, self._options.temperature
        return {short_name(EVAL_KNN): knn_top1(train, judged, k=k, temperature=temperature)}
