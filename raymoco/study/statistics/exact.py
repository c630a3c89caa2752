"""The sign-flip test over seeds: an exact check beside the t-test that needs no normality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raymoco.study.statistics.paired import ALPHA, ROUNDING

ENUMERATED = 20  # differences; 2^19 sums take a hundredth of a second
DRAWS = 99_999  # beyond that; with the +1 below p is a multiple of 1e-5
BLOCK = 10_000  # draws held in memory at once


def sign_flip(differences: Sequence[float]) -> float:
    """Return the two-sided p of the sign-flip (randomization) test of paired differences.

    Under the null hypothesis each difference is symmetric around 0: it is as likely with the other
    sign. p is the share of all 2^n choices of signs whose mean is at least as far from 0 as the
    observed mean. It is over training seeds, as t's p is, and exact for any symmetric distribution.

    A difference of 0 (within float rounding) has no sign: flipping it changes nothing, and p is
    that of the other differences, as in scipy. Means that differ only by float rounding count as
    equal, because accuracies come in steps of one image and tie often.

    Up to ENUMERATED differences all choices are enumerated. Beyond, DRAWS of them are drawn with a
    fixed seed, and p is (1 + those at least as far) / (1 + DRAWS): never 0, and still valid.

    Returns:
        nan for no differences; 1 if all are 0.
    Source: Fisher 1935, "The design of experiments"; the +1: Phipson and Smyth 2010,
        "Permutation p-values should never be zero".
    """
    if not differences:
        return float("nan")
    moved = np.array([d for d in differences if abs(d) > ROUNDING])
    if moved.size == 0:
        return 1.0
    if moved.size <= ENUMERATED:
        sums = moved[:1]  # the first sign is kept: all signs turned round give the same distance
        for difference in moved[1:]:
            sums = np.concatenate([sums + difference, sums - difference])
        # the first sum is the observed one
        return float(np.mean(np.abs(sums) >= abs(sums[0]) - ROUNDING * moved.size))
    generator = np.random.default_rng(0)
    reached = abs(moved.sum()) - ROUNDING * moved.size
    far = 0
    for start in range(0, DRAWS, BLOCK):
        shape = (min(BLOCK, DRAWS - start), moved.size)
        signs = generator.integers(0, 2, shape, dtype=np.int8) * 2.0 - 1
        far += int(np.count_nonzero(np.abs(signs @ moved) >= reached))
    return (1 + far) / (1 + DRAWS)


def smallest_sign_flip(seeds: int) -> float:
    """Return the smallest p that the sign-flip test can have over so many seeds: 2^(1 - n)."""
    return min(1.0, 2.0 ** (1 - seeds))


def can_resolve(seeds: int, rows: int, level: float = ALPHA) -> bool:
    """Whether the sign-flip test could resolve the first of a family's rows, after Holm."""
    return smallest_sign_flip(seeds) * rows < level


def fewest_seeds(rows: int, level: float = ALPHA) -> int:
    """Return the fewest seeds with which the sign-flip test could resolve a row of a family."""
    seeds = 2
    while not can_resolve(seeds, rows, level):
        seeds += 1
    return seeds
