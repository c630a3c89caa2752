"""A linear classifier on frozen features."""

from __future__ import annotations

from raymoco.config import LinearConfig
from raymoco.engine.probes import Features, linear_classes, top_shares
from raymoco.engine.protocols.protocol import LABELS, TRAIN, Evaluation
from raymoco.metrics import LISTED, TEST_LINEAR, TEST_LINEAR_TOP5, short_name


class Linear:
    """Trained on the train split; its learning rate is chosen on eval, never on test."""

    Options = LinearConfig
    metrics = (LISTED[TEST_LINEAR], LISTED[TEST_LINEAR_TOP5])
    needs = (TRAIN, LABELS)

    def __init__(self, options: LinearConfig) -> None:
        self._epochs = options.epochs

    def measure(self, train: Features, judged: Features, about: Evaluation) -> dict[str, float]:
        """Return top-1 and top-5 of the best of several heads."""
        ranked_M5 = linear_classes(
            train, about.choose, judged, epochs=self._epochs, seed=about.seed
        )
        about.keep(short_name(TEST_LINEAR), ranked_M5[:, 0])
        found = top_shares(ranked_M5, judged.labels_N)
        return {short_name(TEST_LINEAR): found["top1"], short_name(TEST_LINEAR_TOP5): found["top5"]}
