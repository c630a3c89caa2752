"""Few-shot classification by the nearest class mean, over many draws of the examples."""

from __future__ import annotations

import math

import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from raymoco.engine.probes import Features
from raymoco.engine.protocols.protocol import LABELS, TRAIN, Evaluation
from raymoco.metrics import LISTED, fewshot_names, short_name

SHOTS = (1, 5)  # examples of each class
DRAWS = 100


class FewShot:
    """Classifies by the nearest mean of 1 and of 5 labeled images of each class, 100 draws of each.

    Features are centered with the training mean and normalized. A class with fewer images gives all
    it has. Beside the mean over draws is the half-width of its 95 % interval (t, over draws): it
    is about the choice of examples alone.

    Source: Wang et al. 2019 (SimpleShot), arXiv:1911.04623, CL2N. Deviation: all classes at once.
    """

    metrics = tuple(LISTED[name] for shots in SHOTS for name in fewshot_names(shots))
    needs = (TRAIN, LABELS)

    def measure(self, train: Features, judged: Features, about: Evaluation) -> dict[str, float]:
        """Return mean accuracy and half-width for each number of examples."""
        mean_F = train.features_NF.mean(0)
        bank_NF = F.normalize(train.features_NF - mean_F, dim=1)
        asked_MF = F.normalize(judged.features_NF - mean_F, dim=1)
        rows = [torch.nonzero(train.labels_N == label)[:, 0] for label in range(about.classes)]
        found: dict[str, float] = {}
        for shots in SHOTS:
            shares = torch.tensor(
                [_share(bank_NF, rows, asked_MF, judged.labels_N, shots) for _ in range(DRAWS)],
                dtype=torch.float64,
            )
            half = stats.t.ppf(0.975, DRAWS - 1) * float(shares.std()) / math.sqrt(DRAWS)
            mean, width = (short_name(name) for name in fewshot_names(shots))
            found |= {mean: float(shares.mean()), width: float(half)}
        return found


def _share(
    bank_NF: Tensor, rows: list[Tensor], asked_MF: Tensor, labels_M: Tensor, shots: int
) -> float:
    """The accuracy by one draw; a class without an example is never predicted."""
    chosen = [some[torch.randperm(len(some))[:shots].to(some.device)] for some in rows]
    means = [bank_NF[some].mean(0) for some in chosen]  # NaN without an example
    cosine_MC = asked_MF @ F.normalize(torch.stack(means), dim=1).T
    predicted_M = cosine_MC.nan_to_num(-2.0).argmax(1)
    return float((predicted_M == labels_M).double().mean())
