"""kNN: the weighted vote of the nearest neighbors."""

from __future__ import annotations

from raymoco.config import KnnConfig
from raymoco.engine.probes import Features, knn_classes, share_right
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
        predicted_M = knn_classes(train, judged, k=k, temperature=temperature)
        about.keep(short_name(EVAL_KNN), predicted_M)
        return {short_name(EVAL_KNN): share_right(predicted_M, judged.labels_N)}
