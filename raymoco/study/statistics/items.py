"""What the sample of judged images adds to a difference: intervals over seeds and images.

Every run of a sweep is judged by the same images, so a difference of two runs is paired image by
image, and only images of which one run is right and the other wrong add to its noise. The functions
take d (S, I): the difference for each of S seeds, paired, and each of I images.

docs/ablations.md has the formulas. Where outcomes come from is in outcomes.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from raymoco.study.statistics.paired import ALPHA

ITEM_COLUMNS = ("low_items", "high_items", "mcnemar_p")
SEEDS_AND_IMAGES, IMAGES = "seeds and images", "the images alone"

Bits: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class McNemar:
    """Of two runs on the same images: how often which is right, and the exact two-sided p.

    `gained` are images that only the first has right, `lost` those that only the second has right.
    """

    both: int
    gained: int
    lost: int
    neither: int
    p: float


@dataclass(frozen=True)
class ItemInterval:
    """The 95 % interval of a difference over training seeds and images.

    Attributes:
        seeds, images: how many of each it is over; with one seed it is over the images alone, and
            the noise of training is not in it.
        difference: the mean over both.
        low, high: its ends.
        noise: the standard error that the sample of images alone leaves in the difference of a
            single seed; the root mean square over the seeds.
        mcnemar: of two single runs; None for any other contrast.
    """

    seeds: int
    images: int
    difference: float
    low: float
    high: float
    noise: float
    mcnemar: McNemar | None = None

    @property
    def over(self) -> str:
        """What it is over, in words."""
        return SEEDS_AND_IMAGES if self.seeds > 1 else IMAGES

    @property
    def resolved(self) -> bool:
        """Whether it leaves out 0."""
        return self.low > 0 or self.high < 0

    @property
    def words(self) -> str:
        """What it is over, and its ends; of one seed the difference too, which nobody else says."""
        difference = "" if self.seeds > 1 else f"{self.difference:+z.4f}, "
        return f"over {self.over} {difference}{self.low:+z.4f} to {self.high:+z.4f}"


def item_row(found: ItemInterval | None) -> list[Any]:
    """The values of ITEM_COLUMNS, unrounded; empty where outcomes are missing."""
    if found is None:
        return ["", "", ""]
    return [found.low, found.high, "" if found.mcnemar is None else found.mcnemar.p]


def item_noise(d_I: Numbers) -> float:
    """Return the standard error of the mean of d that is due to the sample of images.

    sqrt(sum_i (d_i - mean)^2 / (I - 1) / I) with d_i in {-1, 0, 1} for two single runs: images that
    both have right, or both wrong, have d_i = 0, so that only the others add to it. nan for one
    image.

    Source: Miller 2024, "Adding error bars to evals", arXiv 2411.00640, section 4.2.
    """
    if len(d_I) < 2:
        return math.nan
    return float(np.std(d_I, ddof=1) / math.sqrt(len(d_I)))


@dataclass(frozen=True)
class MeanSquares:
    """The mean squares of a two-way layout without replication, and their degrees of freedom."""

    seed: float
    image: float
    residual: float
    seeds: int
    images: int

    @property
    def degrees(self) -> tuple[int, int, int]:
        """Of seed, image and residual."""
        s, i = self.seeds - 1, self.images - 1
        return s, i, s * i


def mean_squares(d_SI: Numbers) -> MeanSquares:
    """Return the mean squares of d = mean + seed + image + residual.

    MS_seed = I sum_s (m_s - m)^2 / (S - 1), MS_image = S sum_i (m_i - m)^2 / (I - 1), MS_residual =
    sum (d - m_s - m_i + m)^2 / ((S - 1) (I - 1)).

    Args:
        d_SI: at least two seeds and two images.
    """
    seeds, images = d_SI.shape
    mean = d_SI.mean()
    seed_S1 = d_SI.mean(1, keepdims=True) - mean
    image_1I = d_SI.mean(0, keepdims=True) - mean
    left_SI = d_SI - mean - seed_S1 - image_1I
    return MeanSquares(
        float(images * (seed_S1**2).sum() / (seeds - 1)),
        float(seeds * (image_1I**2).sum() / (images - 1)),
        float((left_SI**2).sum() / ((seeds - 1) * (images - 1))),
        seeds,
        images,
    )


def crossed_reach(squares: MeanSquares) -> float:
    """Return half the 95 % interval of the mean of d over seeds and images, both random.

    Var(mean) = (MS_seed + MS_image - MS_residual) / (S I), with Satterthwaite's degrees of freedom.
    The variance is at least that over seeds alone, MS_seed / (S I) with S - 1 degrees, and that
    over images alone, MS_image / (S I) with I - 1: a difference of mean squares may be too small,
    even negative. And the interval is never narrower than either of theirs: with two or three seeds
    Satterthwaite's degrees alone could make the interval over both the narrowest of the three.

    Source: two-way random effects without replication, as in Searle, Casella and McCulloch 1992,
        "Variance components"; Satterthwaite 1946. The floors are ours.
    """
    total = squares.seed + squares.image - squares.residual
    parts = zip((squares.seed, squares.image, squares.residual), squares.degrees, strict=True)
    spread = math.fsum(square**2 / degrees for square, degrees in parts)
    by_seed, by_image, _ = squares.degrees
    candidates: list[tuple[float, float]] = [(squares.seed, by_seed), (squares.image, by_image)]
    if total > max(squares.seed, squares.image):
        candidates.append((total, total**2 / spread))
    count = squares.seeds * squares.images
    return max(
        float(stats.t.isf(ALPHA / 2, degrees)) * math.sqrt(square / count)
        for square, degrees in candidates
    )


def item_interval(d_SI: Numbers, mcnemar: McNemar | None = None) -> ItemInterval | None:
    """Return the interval of the mean difference over seeds and images.

    With one seed it is over the images alone, +-t(0.975, I - 1) times `item_noise`.

    Returns:
        None for fewer than two images, which have no spread.
    """
    seeds, images = d_SI.shape
    if images < 2 or not seeds:
        return None
    noise = math.sqrt(math.fsum(item_noise(d_I) ** 2 for d_I in d_SI) / seeds)
    if seeds == 1:
        reach = float(stats.t.isf(ALPHA / 2, images - 1)) * noise
    else:
        reach = crossed_reach(mean_squares(d_SI))
    mean = float(d_SI.mean())
    return ItemInterval(seeds, images, mean, mean - reach, mean + reach, noise, mcnemar)


def mcnemar(first_I: Bits, second_I: Bits) -> McNemar:
    """Compare two runs on the same images by McNemar's exact test.

    Given how many images only one of them has right, either is as likely to be the one if they are
    equally good: a binomial test against one half. p is 1 where there is no such image. It takes
    the two runs as they are: the noise of training is not in it.

    Args:
        first_I, second_I: whether each image was right.
    Source: McNemar 1947; Dietterich 1998, "Approximate statistical tests for comparing supervised
        classification learning algorithms".
    """
    gained, lost = int((first_I & ~second_I).sum()), int((~first_I & second_I).sum())
    p = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    both = int((first_I & second_I).sum())
    return McNemar(both, gained, lost, len(first_I) - both - gained - lost, p)


@dataclass(frozen=True)
class ClassAccuracy:
    """The accuracy on the images of one class, mean over seeds; `images` has it."""

    label: int
    images: int
    accuracy: float


def class_accuracies(labels_I: NDArray[np.int64], correct_SI: Bits) -> list[ClassAccuracy]:
    """Return the accuracy of each class that has images, in the order of classes."""
    found = []
    for label in np.unique(labels_I).tolist():
        mine = labels_I == label
        found.append(ClassAccuracy(label, int(mine.sum()), float(correct_SI[:, mine].mean())))
    return found


def confusion(
    labels_I: NDArray[np.int64], predictions: Sequence[NDArray[np.int64]], classes: int
) -> NDArray[np.int64]:
    """Return how often each class (row) was taken for each (column), summed over the seeds.

    Args:
        predictions: of each seed, (I,).
        classes: how many there are.
    """
    found = np.zeros((classes, classes), np.int64)
    for predicted_I in predictions:
        np.add.at(found, (labels_I, predicted_I), 1)
    return found


def most_confused(confusion_CC: NDArray[np.int64], count: int) -> list[tuple[int, int, int]]:
    """Return the pairs of classes that were confused most: true, predicted, how often."""
    off_CC = confusion_CC.copy()
    np.fill_diagonal(off_CC, 0)
    order = np.argsort(-off_CC, axis=None, kind="stable")[:count]
    places = zip(*np.unravel_index(order, off_CC.shape), strict=True)
    found = [(int(true), int(taken), int(off_CC[true, taken])) for true, taken in places]
    return [one for one in found if one[2]]
