"""Signs of collapse, which need no labels and are measured in every run."""

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
    """Alignment of two views, uniformity, and effective rank of the features."""

    metrics = (LISTED[EVAL_ALIGNMENT], LISTED[EVAL_UNIFORMITY], LISTED[EVAL_EFFECTIVE_RANK])
    needs = (VIEWS,)

    def measure(self, train: Features, judged: Features, about: Evaluation) -> dict[str, float]:
        """Return alignment of the views, and uniformity and effective rank of the split."""
        assert about.views is not None
        return {
            short_name(EVAL_ALIGNMENT): alignment(*about.views),
            short_name(EVAL_UNIFORMITY): uniformity(judged.features_NF),
            short_name(EVAL_EFFECTIVE_RANK): effective_rank(judged.features_NF),
        }
