"""Retrieval: are the nearest images of a split of the same class?"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from raymoco.engine.probes import Features
from raymoco.engine.protocols.protocol import LABELS, Evaluation
from raymoco.metrics import LISTED, RETRIEVAL

BLOCK = 1024  # queries at a time
RECALLS = (1, 5)


class Retrieval:
    """Looks each image of the judged split up among the others of that split, by cosine.

    Recall at k: the share of images with one of their class among the k nearest. R-precision: of
    the R nearest, where R others have its class, the share that has it. MAP at R: the mean over
    those ranks of the precision up to each hit. An image that is alone in its class asks nothing.

    Source: Musgrave et al. 2020, "A metric learning reality check", arXiv:2003.08505, section 3.2.
    """

    metrics = tuple(LISTED[f"{split}/{name}"] for split in ("eval", "test") for name in RETRIEVAL)
    needs = (LABELS,)

    @torch.no_grad()
    def measure(self, train: Features, judged: Features, about: Evaluation) -> dict[str, float]:
        """Return the four means over images; NaN where no class has two of them."""
        x_MF, labels_M = F.normalize(judged.features_NF, dim=1), judged.labels_N
        others_C = torch.bincount(labels_M, minlength=about.classes) - 1
        relevant_M = others_C[labels_M]
        sums = torch.zeros(len(RETRIEVAL), dtype=torch.float64)
        for start in range(0, len(x_MF), BLOCK):
            asking = torch.arange(start, min(start + BLOCK, len(x_MF)), device=x_MF.device)
            asking = asking[relevant_M[asking] > 0]
            if len(asking):
                sums += _sums(x_MF, labels_M, asking, relevant_M[asking])
        count = int((relevant_M > 0).sum())
        means = sums / count if count else sums * float("nan")
        return dict(zip(RETRIEVAL, means.tolist(), strict=True))


def _sums(
    x_MF: torch.Tensor, labels_M: torch.Tensor, asking_B: torch.Tensor, relevant_B: torch.Tensor
) -> torch.Tensor:
    """Sums over some queries of the four measures, in the order of RETRIEVAL."""
    cosine_BM = x_MF[asking_B] @ x_MF.T
    cosine_BM.scatter_(1, asking_B[:, None], -2.0)  # not itself
    deep = min(max(int(relevant_B.max()), max(RECALLS)), len(x_MF) - 1)
    nearest_BK = cosine_BM.topk(deep, dim=1).indices
    hit_BK = (labels_M[nearest_BK] == labels_M[asking_B][:, None]).double()
    rank_K = torch.arange(1, deep + 1, device=x_MF.device)
    within_BK = (rank_K <= relevant_B[:, None]).double()
    precision_BK = hit_BK.cumsum(1) / rank_K
    recalls = [hit_BK[:, :k].amax(1).sum() for k in RECALLS]
    r_precision = ((hit_BK * within_BK).sum(1) / relevant_B).sum()
    mean_average = ((precision_BK * hit_BK * within_BK).sum(1) / relevant_B).sum()
    return torch.stack([*recalls, r_precision, mean_average]).cpu()
