"""The Protocol of evaluation protocols: from features and labels to metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from raymoco.engine.probes import Features
from raymoco.metrics import Metric, Split

TRAIN, LABELS, VIEWS = "train", "labels", "views"
NEEDS = (TRAIN, LABELS, VIEWS)

Keep = Callable[[str, Tensor], None]


def _keep_nothing(metric: str, predicted_M: Tensor) -> None:
    """What `raymoco evaluate` does with predictions."""


@dataclass(frozen=True)
class Evaluation:
    """What a protocol may use besides the features of the judged split and the train split.

    Attributes:
        split: which one is judged: `eval`, or at the end `test`.
        choose: features of the eval split, for what has to be chosen: nothing is chosen on test.
        classes: how many there are; 0 where no image has a label.
        seed: the run's. torch's own generators are seeded with it before a protocol is called.
        views: features (M, F) of two random views each of the first M images of the eval split;
            None on test, and for a protocol that does not need them.
        keep: may be called with the short name of a metric `..._top1` that is reported, and with
            the class (M,) int64 that was predicted for each judged image: they are stored beside
            the run, and intervals over images are computed from them. A protocol need not.
    """

    split: Split
    choose: Features
    classes: int
    seed: int
    views: tuple[Tensor, Tensor] | None = None
    keep: Keep = _keep_nothing


class EvaluationProtocol(Protocol):
    """Judges an encoder by its frozen features.

    It is built with `options=`, an instance of its pydantic model `Options`, or without arguments
    if it has none. `metrics` and `needs` may depend on the options.

    Attributes:
        metrics: what it reports. `eval/NAME` is measured at each evaluation, `test/NAME` at the end
            of a run.
        needs: of `train`, `labels` and `views`. Without `labels` it also runs where no image has
            one; without `train` the features of the train split may be empty.
    """

    metrics: tuple[Metric, ...]
    needs: tuple[str, ...]

    def measure(self, train: Features, judged: Features, about: Evaluation) -> Mapping[str, float]:
        """Measure one split.

        Args:
            train: the bank: features (N, F) and labels (N,) of the train split. With `labels` in
                `needs`, each of its rows has a label; otherwise it may be -1.
            judged: features (M, F) and labels (M,) of the split that is judged; likewise.
            about: which split it is, and what else may be known.
        Returns:
            Each metric of this split by its short name: `knn_top1` for `eval/knn_top1`.
        """
