"""Signs of collapse, which no label is needed for: every run is judged by them."""

from __future__ import annotations

from raymoco.engine.probes import Features, alignment, effective_rank, uniformity
from raymoco.engine.protocols.protocol import VIEWS, Evaluation
from raymoco.metrics import (
    EVAL_ALIGNMENT,
    EVAL_EFFECTIVE_RANK,
    EVAL_UNIFORMITY,
    LISTED,
    short_name,
)


class Collapse:
    """How near two views of an image are, how evenly and in how many directions images lie."""

    metrics = (LISTED[EVAL_ALIGNMENT], LISTED[EVAL_UNIFORMITY], LISTED[EVAL_EFFECTIVE_RANK])
    needs = (VIEWS,)

    def measure(self, train: Features, judged: Features, about: Evaluation) -> dict[str, float]:
        """Alignment of the views; uniformity and effective rank of the split."""
        assert about.views is not None
        return {
            short_name(EVAL_ALIGNMENT): alignment(*about.views),
            short_name(EVAL_UNIFORMITY): uniformity(judged.features_NF),
            short_name(EVAL_EFFECTIVE_RANK): effective_rank(judged.features_NF),
        }
