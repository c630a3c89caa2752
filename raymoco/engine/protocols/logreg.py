"""Multinomial logistic regression on frozen features, with a sweep of its regularization."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from raymoco.config import StrictModel
from raymoco.engine.probes import Features, share_right
from raymoco.engine.protocols.protocol import LABELS, TRAIN, Evaluation
from raymoco.metrics import LISTED, TEST_LOGREG, short_name


class LogRegConfig(StrictModel):
    """`values` of C, log-spaced from `least` to `most`, and the iterations of L-BFGS for each."""

    least: float = Field(default=1e-6, gt=0)
    most: float = Field(default=1e5, gt=0)
    values: int = Field(default=12, ge=1)
    iterations: int = Field(default=1000, ge=1)


class LogReg:
    """scikit-learn's logistic regression: C is chosen on eval, then refit on train and eval.

    Source: Oquab et al. 2023 (DINOv2), arXiv:2304.07193, appendix B.3. Deviations: 12 values of C
    instead of 45; features are standardized with the training statistics.
    """

    Options = LogRegConfig
    metrics = (LISTED[TEST_LOGREG],)
    needs = (TRAIN, LABELS)

    def __init__(self, options: LogRegConfig) -> None:
        self._options = options

    def measure(self, train: Features, judged: Features, about: Evaluation) -> dict[str, float]:
        """Return the share of images that are classified correctly."""
        x, y = _arrays(train)
        mean, scale = x.mean(0), np.maximum(x.std(0), 1e-6)
        held, wanted = _arrays(about.choose)
        model = self._model(len(x))
        best, best_c = -1.0, 1.0
        if len(wanted):
            for c in np.geomspace(self._options.least, self._options.most, self._options.values):
                # the previous solution is a good start for the next
                score = _fitted(model.set_params(C=float(c)), (x - mean) / scale, y).score(
                    (held - mean) / scale, wanted
                )
                if score > best:
                    best, best_c = float(score), float(c)
        both, labels = np.concatenate([x, held]), np.concatenate([y, wanted])
        model = self._model(len(both)).set_params(C=best_c)
        asked, _ = _arrays(judged)
        predicted = _fitted(model, (both - mean) / scale, labels).predict((asked - mean) / scale)
        predicted_M = torch.from_numpy(predicted.astype(np.int64))
        about.keep(short_name(TEST_LOGREG), predicted_M.to(judged.labels_N.device))
        return {short_name(TEST_LOGREG): share_right(predicted_M, judged.labels_N.cpu())}

    def _model(self, rows: int) -> LogisticRegression:
        return LogisticRegression(max_iter=self._options.iterations, warm_start=True)


def _fitted(
    model: LogisticRegression, x: NDArray[np.float64], y: NDArray[np.int64]
) -> LogisticRegression:
    with warnings.catch_warnings():
        # at the largest C separable classes never converge, and the eval split does not choose them
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def _arrays(of: Features) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return of.features_NF.double().cpu().numpy(), of.labels_N.cpu().numpy()
