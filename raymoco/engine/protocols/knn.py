"""The weighted vote of the nearest neighbors."""

from __future__ import annotations

from raymoco.config import KnnConfig
from raymoco.engine.probes import Features, knn_top1
from raymoco.engine.protocols.protocol import LABELS, TRAIN, Evaluation
from raymoco.metrics import EVAL_KNN, LISTED, TEST_KNN, short_name


class Knn:
    """Each image is voted on by its nearest images of the train split."""

    Options = KnnConfig
    metrics = (LISTED[EVAL_KNN], LISTED[TEST_KNN])
    needs = (TRAIN, LABELS)

    def __init__(self, options: KnnConfig) -> None:
        self._options = options

    def measure(self, train: Features, judged: Features, about: Evaluation) -> dict[str, float]:
        """The share of images that the vote classifies rightly."""
        k, temperature = self._options.k, self._options.temperature
        return {short_name(EVAL_KNN): knn_top1(train, judged, k=k, temperature=temperature)}
