"""How often the verdicts are wrong, and the intervals right: simulated, nothing is trained.

Scores are drawn with numpy and judged by `judge` itself, the code that writes comparisons.csv. A
row `wrong` is the share of families (all rows of a file) in which at least one verdict is wrong,
with its Clopper-Pearson interval: how far the share may be from the truth because the number of
simulated families is finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.tables import Table
from raymoco.study.statistics.effects import Contrast
from raymoco.study.statistics.exact import sign_flip
from raymoco.study.statistics.items import item_interval
from raymoco.study.statistics.judged import Judged, judge
from raymoco.study.statistics.looks import spend, take_looks
from raymoco.study.statistics.paired import ALPHA, cell_mean, mean_difference
from raymoco.study.sweepfile.sections import Looks, Spending

Scores = dict[str, dict[int, float]]
# from what each seed does to all cells alike, the scores of so many cells
Draw = Callable[[np.random.Generator, np.ndarray, int], np.ndarray]

LEVEL, STD, IMAGES = 0.9, 0.01, 148  # about those of digits
TEST_IMAGES = 361
FAMILIES = (1, 4, 8)
SEEDS = (3, 5, 10, 20)
LOOKS = (5, 10, 20)
MARGIN = 3 / IMAGES  # three images


def _normal(rng: np.random.Generator, by_seed: np.ndarray, cells: int) -> np.ndarray:
    return by_seed + rng.normal(0, STD, (cells, by_seed.size))


def _heavy(rng: np.random.Generator, by_seed: np.ndarray, cells: int) -> np.ndarray:
    """Student's t with 3 degrees of freedom: now and then a seed goes far astray."""
    drawn = rng.standard_t(3, (cells, by_seed.size))
    return np.asarray(by_seed + drawn * STD / np.sqrt(3))


def _whole_images(rng: np.random.Generator, by_seed: np.ndarray, cells: int) -> np.ndarray:
    """Normal, rounded to whole images: many differences tie, and some are 0."""
    return np.round(_normal(rng, by_seed, cells) * IMAGES) / IMAGES


def _skewed(rng: np.random.Generator, by_seed: np.ndarray, cells: int) -> np.ndarray:
    """Exponential below a ceiling, alike in every cell: the differences are symmetric again."""
    return by_seed + STD - rng.exponential(STD, (cells, by_seed.size))


def _skewed_apart(rng: np.random.Generator, by_seed: np.ndarray, cells: int) -> np.ndarray:
    """The same beside a baseline that hardly varies: equal means, but differences as skewed.

    The worst case of a t-interval, and one that the sign-flip test does not allow for either.
    """
    drawn = _skewed(rng, by_seed, cells)
    drawn[0] = by_seed + rng.normal(0, STD / 10, by_seed.size)
    return drawn


DRAWS: dict[str, Draw] = {
    "normal": _normal,
    "heavy tails": _heavy,
    "whole images": _whole_images,
    "skewed alike": _skewed,
    "skewed, baseline not": _skewed_apart,
}


def run(quick: bool) -> list[Table]:
    """All tables; the full ones take about three minutes on one core."""
    rounds = 200 if quick else 5_000
    return [
        family_wise(rounds),
        coverage(rounds),
        false_negligible(rounds),
        family_wise_with_looks(rounds),
        sign_flip_size(rounds),
        coverage_over_images(rounds // 5),
    ]


def contrasts(rows: int) -> list[Contrast]:
    """The rows of a file: so many cells, each against the same baseline, cell 0."""
    return [Contrast(f"{n}", {}, {}, {f"{n}": 1.0, "0": -1.0}) for n in range(1, rows + 1)]


def simulated(
    name: str, rows: int, seeds: int, rounds: int, shift: float = 0.0
) -> Iterator[Scores]:
    """The scores of each simulated sweep: a baseline and `rows` cells, `shift` above it."""
    rng = np.random.default_rng([list(DRAWS).index(name), rows, seeds])
    for _ in range(rounds):
        # what a seed does to all cells alike cancels out in the differences
        drawn = DRAWS[name](rng, rng.normal(LEVEL, STD, seeds), rows + 1)
        drawn[1:] += shift
        yield {f"{cell}": dict(enumerate(by_seed)) for cell, by_seed in enumerate(drawn.tolist())}


def wrongly_resolved(judged: Sequence[Judged]) -> bool:
    """Whether a row without a true difference is said to have one."""
    return any(row.verdict in ("helps", "hurts") for row in judged)


def family_wise(rounds: int, seeds: Sequence[int] = (5, 10)) -> Table:
    """Share of families without any true difference in which one is said to help or to hurt."""
    table = _table("No cell differs: a row helps or hurts", ["scores", "rows", "seeds"])
    for name in DRAWS:
        for rows in FAMILIES:
            family = contrasts(rows)
            for n in seeds:
                wrong = sum(
                    wrongly_resolved(judge(family, scores, {}, higher=True))
                    for scores in simulated(name, rows, n, rounds)
                )
                table.add(name, rows, n, *_share(wrong, rounds))
    table.notes.append(f"At most {ALPHA:.2g} is promised; Holm over the rows of a file.")
    return table


def coverage(rounds: int, seeds: Sequence[int] = SEEDS) -> Table:
    """Share of 95 % intervals over seeds that hold the true difference, and the true mean."""
    table = _table("95 % intervals over seeds that hold the truth", ["scores", "interval", "seeds"])
    family = contrasts(1)
    for name in DRAWS:
        for n in seeds:
            held = means = 0
            for scores in simulated(name, 1, n, rounds):
                (row,) = judge(family, scores, {}, higher=True)
                found, mean = row.difference, cell_mean(list(scores["1"].values()))
                assert found is not None
                assert mean is not None
                held += found.low <= 0 <= found.high  # one without a spread has no interval
                means += mean.low <= LEVEL <= mean.high
            table.add(name, "difference", n, *_share(held, rounds))
            table.add(name, "cell mean", n, *_share(means, rounds))
    table.notes.append("Of rounded scores the truth is that before rounding.")
    return table


def coverage_over_images(rounds: int, seeds: Sequence[int] = SEEDS) -> Table:
    """Share of intervals of a difference that hold the one in the population of seeds and images.

    Whether an image is right is drawn from its difficulty, from what the cell makes of it in every
    training, from the seed, and from chance. Both cells are alike in the population.
    """
    table = _table(
        f"95 % intervals of a difference, new seeds and {TEST_IMAGES} new images each",
        ["cells differ in images", "interval over", "seeds"],
    )
    for name, own in (("never", 0.0), ("a little", 0.5), ("much", 2.0)):
        for n in seeds:
            rng = np.random.default_rng([int(10 * own), n])
            held = {"seeds": 0, "seeds and images": 0}
            for _ in range(rounds):
                d_SI = drawn_difference(rng, n, own)
                alone, both = mean_difference(list(d_SI.mean(1))), item_interval(d_SI)
                assert alone is not None
                assert both is not None
                held["seeds"] += alone.low <= 0 <= alone.high
                held["seeds and images"] += both.low <= 0 <= both.high
            for over, count in held.items():
                table.add(name, over, n, *_share(count, rounds))
    return table


def drawn_difference(rng: np.random.Generator, seeds: int, own: float) -> NDArray[np.float64]:
    """Return one cell's outcomes minus another's, (S, I) of -1, 0 and 1.

    Args:
        own: how much cells differ in the images that they have right, in standard deviations of
            what chance adds to an image in one training.
    """
    right = []
    difficulty_I = rng.normal(2.5, 2.0, TEST_IMAGES)
    for _ in range(2):
        cell_I = rng.normal(0, own, TEST_IMAGES)
        seed_S1 = rng.normal(0, 0.2, (seeds, 1))
        chance_SI = rng.normal(0, 1, (seeds, TEST_IMAGES))
        right.append(difficulty_I + cell_I + seed_S1 + chance_SI > 0)
    return right[0].astype(np.float64) - right[1]


def false_negligible(rounds: int, seeds: Sequence[int] = (5, 10, 20)) -> Table:
    """Share of families, each row as far away as the margin, in which one is negligible."""
    table = _table(
        "Every cell differs by the margin: a row is negligible", ["scores", "rows", "seeds"]
    )
    for name in DRAWS:
        for rows in (1, 4):
            family = contrasts(rows)
            for n in seeds:
                wrong = sum(
                    any(
                        row.verdict == "negligible"
                        for row in judge(family, scores, {}, higher=True, margin=MARGIN)
                    )
                    for scores in simulated(name, rows, n, rounds, shift=MARGIN)
                )
                table.add(name, rows, n, *_share(wrong, rounds))
    table.notes.append(f"The margin is {MARGIN:.4f}, twice the standard deviation of a cell.")
    return table


def family_wise_with_looks(rounds: int) -> Table:
    """The same as `family_wise`, of sweeps that look on the way."""
    table = _table(
        f"No cell differs, looks at {', '.join(map(str, LOOKS))} seeds: a row helps or hurts",
        ["scores", "rows", "spending"],
    )
    spendings: tuple[Spending, ...] = ("obrien_fleming", "bonferroni")
    for name in ("normal", "heavy tails", "whole images", "skewed alike"):
        for rows in (1, 4):
            for spending in spendings:
                looks = Looks(seeds=LOOKS, spending=spending)
                wrong = sum(
                    wrongly_at_any_look(contrasts(rows), scores, looks)
                    for scores in simulated(name, rows, looks.most, rounds)
                )
                table.add(name, rows, spending, *_share(wrong, rounds))
            every = sum(
                any(wrongly_resolved(_first(contrasts(rows), scores, n, ALPHA)) for n in LOOKS)
                for scores in simulated(name, rows, LOOKS[-1], rounds)
            )
            table.add(name, rows, "none: 0.05 at each", *_share(every, rounds))
    said = "; ".join(
        f"{spending} {', '.join(f'{level:.2g}' for level in spend(LOOKS, spending))}"
        for spending in spendings
    )
    table.notes.append(f"Levels: {said}. The last row of each is what looking without a plan does.")
    return table


def sign_flip_size(rounds: int, seeds: Sequence[int] = (5, 6, 8, 10, 12)) -> Table:
    """Share of p below 0.05 of the sign-flip test and of t's, where nothing differs."""
    table = _table("No difference: p < 0.05", ["scores", "test", "seeds"])
    for name in DRAWS:
        for n in seeds:
            found = [
                judge(contrasts(1), scores, {}, higher=True)[0]
                for scores in simulated(name, 1, n, rounds)
            ]
            flips = sum(sign_flip(row.differences) < ALPHA for row in found)
            table.add(name, "sign-flip", n, *_share(flips, rounds))
            students = sum(row.difference is not None and row.difference.p < ALPHA for row in found)
            table.add(name, "t", n, *_share(students, rounds))
    table.notes.append("With 5 seeds the smallest sign-flip p is 0.0625: it never says anything.")
    return table


def wrongly_at_any_look(family: Sequence[Contrast], scores: Scores, looks: Looks) -> bool:
    """Whether any look that is taken resolves a row; raymoco reports the last one that is taken."""
    taken = take_looks(
        looks,
        looks.most,
        lambda seeds, level: _first(family, scores, seeds, level),
        lambda judged: all(row.verdict != "not resolved" for row in judged),
    )
    return any(map(wrongly_resolved, taken))


def _first(family: Sequence[Contrast], scores: Scores, seeds: int, level: float) -> list[Judged]:
    """Judge with the first seeds alone."""
    some = {cell: {s: by_seed[s] for s in range(seeds)} for cell, by_seed in scores.items()}
    return judge(family, some, {}, higher=True, level=level)


def _table(title: str, first: list[str]) -> Table:
    return Table(title, [*first, "share", "low", "high", "of"])


def _share(count: int, rounds: int) -> tuple[float, float, float, int]:
    """A share with its 95 % Clopper-Pearson interval."""
    found = stats.binomtest(count, rounds).proportion_ci(0.95, method="exact")
    return count / rounds, float(found.low), float(found.high), rounds
