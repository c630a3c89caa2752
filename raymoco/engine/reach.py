"""How far an accuracy on a sample of images tells that on all of them."""

from __future__ import annotations

import math
from statistics import NormalDist

LEVEL = 0.95


def binomial_reach(accuracy: float, images: int) -> float:
    """Return half the 95 % interval of one accuracy due to the sample of images alone.

    Wilson's, z / (1 + z^2 / N) * sqrt(a (1 - a) / N + z^2 / (4 N^2)) with z = 1.96: at an accuracy
    of 1 the normal approximation would have no width. Intervals over seeds do not cover it, because
    all seeds are evaluated on the same images.

    scipy's proportion_ci takes an integer number of hits, which a mean over seeds does not have.

    Args:
        accuracy: a, a share of images, from 0 to 1.
        images: N, the number of images.
    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    spread = accuracy * (1 - accuracy) / images + (z / (2 * images)) ** 2
    return z / (1 + z**2 / images) * math.sqrt(spread)
