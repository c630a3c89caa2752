"""What is resolved and what is not.

paired holds the formulas, numbers in and numbers out, and its names are this package's; comparisons
applies them to a journal's cells, effects to the factors of a design, importance to the axes of a
search, pareto to several objectives.
"""

from raymoco.study.statistics.paired import (
    ALPHA,
    MOST_SEEDS,
    ROUNDING,
    CellMean,
    PairedDifference,
    best_so_far,
    binomial_reach,
    cell_mean,
    holm,
    mean_difference,
    paired_difference,
    paired_power,
    pareto_front,
    seeds_needed,
    verdict,
)

__all__ = [
    "ALPHA",
    "MOST_SEEDS",
    "ROUNDING",
    "CellMean",
    "PairedDifference",
    "best_so_far",
    "binomial_reach",
    "cell_mean",
    "holm",
    "mean_difference",
    "paired_difference",
    "paired_power",
    "pareto_front",
    "seeds_needed",
    "verdict",
]
