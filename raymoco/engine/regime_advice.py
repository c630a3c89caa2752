"""What makes a regime doubtful, and which values of the config would help."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from raymoco.config import RunConfig
from raymoco.engine.regime import Regime, TrainImages, regime, share
from raymoco.errors import ConfigError

FIRST_WEIGHTS = 0.05  # share of the key encoder's first weights that a run should not end above
FILLS = 2  # times that a run should fill its queue
OWN_KEYS = 0.05  # share of queries that should not meet an older key of their image as a negative

# values that papers use, for advice
MOMENTA = (0.999, 0.996, 0.99, 0.98, 0.97, 0.95, 0.9, 0.8, 0.5)
SMALLEST_BATCH = 16
MOST_EPOCHS = 100_000


@dataclass(frozen=True)
class Problem:
    """A reason to doubt that the method works in a regime.

    Attributes:
        of: the regime's number, None where the loss has none.
        beyond: how far a number is beyond its bound, above 0 if it is a problem.
        words: describes the numbers of some regimes.
        shown: one number, for advice.
        keys: keys of the config of which another value can help.
    """

    of: Callable[[Regime], float | None]
    beyond: Callable[[float], float]
    words: Callable[[Sequence[Regime]], str]
    shown: Callable[[float], str]
    keys: tuple[str, ...]

    def has(self, found: Regime) -> bool:
        """Whether a regime has this problem."""
        return self.severity(found) > 0

    def severity(self, found: Regime) -> float:
        """How far a regime is beyond the bound; 0 or less without the problem."""
        value = self.of(found)
        return 0.0 if value is None else self.beyond(value)


def _listed(values: Sequence[str]) -> str:
    values = list(dict.fromkeys(values))
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} and {values[-1]}"


def _steps(found: Sequence[Regime]) -> str:
    return f"{_listed([f'{one.steps:,}' for one in found])} steps"


SLOW = Problem(
    lambda r: r.first_weights,
    lambda left: left - FIRST_WEIGHTS,
    lambda found: (
        f"{_listed([share(r.first_weights or 0) for r in found])} of the key encoder's first "
        f"weights are left after {_steps(found)}"
    ),
    lambda left: share(left),
    ("optim.batch_size", "epochs", "method.key_momentum"),
)
SHORT = Problem(
    lambda r: r.fills,
    lambda fills: FILLS - fills,
    lambda found: (
        f"the queue is filled {_listed([f'{r.fills or 0:.2g}' for r in found])} times in "
        f"{_steps(found)}"
    ),
    lambda fills: f"{fills:.2g} times",
    ("epochs", "method.queue_size"),
)
CROWDED = Problem(
    lambda r: r.own_negative,
    lambda met: met - OWN_KEYS,
    lambda found: (
        f"{_listed([f'{r.own_negative or 0:.0%}' for r in found])} of the queries meet an older "
        "key of their own image as a negative"
    ),
    lambda met: f"{met:.0%}",
    ("method.queue_size",),
)
PROBLEMS = (SLOW, SHORT, CROWDED)


def regime_warning(config: RunConfig, images: TrainImages) -> str | None:
    """Return one warning with all problems of a run, and what would change each; None if none."""
    found = regime(config, images)
    said = []
    for problem in PROBLEMS:
        if problem.has(found):
            helps = advice(problem, config, images)
            said.append(problem.words([found]) + (f" ({helps})" if helps else ""))
    return f"{'; '.join(said)}." if said else None


def advice(
    problem: Problem, config: RunConfig, images: TrainImages, *, without: Sequence[str] = ()
) -> str:
    """Return values that solve a problem, each alone, with the number that would result.

    Args:
        without: keys that must not be proposed, because a sweep varies them.
    """
    said: list[str] = []
    for key in problem.keys:
        if key in without:
            continue
        for value in _candidates(key, config, problem, images):
            try:
                found = regime(config.with_values({key: value}), images)
            except ConfigError:  # for example no multiple of the workers
                continue
            if not problem.has(found):
                number = problem.of(found)
                would = "" if said else "it would be "
                said.append(f"with {key}={value} {would}{problem.shown(number or 0.0)}")
                break
    return ", ".join(said)


def _candidates(
    key: str, config: RunConfig, problem: Problem, images: TrainImages
) -> Iterator[Any]:
    """Values of a key that may solve a problem, the nearest first."""
    if key == "optim.batch_size":
        batch = config.optim.batch_size
        while (batch := batch // 2) >= SMALLEST_BATCH:
            yield batch
    elif key == "method.queue_size":
        size = config.method.queue_size
        while size := size // 2:
            yield size
    elif key == "method.key_momentum":
        # an epoch of `changes` sets it later anyway
        if not any(key in values for values in config.changes.values()):
            yield from (m for m in MOMENTA if m < config.method.key_momentum)
    elif config.method.key_momentum < 1 or problem is not SLOW:
        yield from _epochs(config, problem, images)


def _epochs(config: RunConfig, problem: Problem, images: TrainImages) -> Iterator[int]:
    """The smallest number of epochs without the problem."""

    def solved(epochs: int) -> bool:
        return not problem.has(regime(config.with_values({"epochs": epochs}), images))

    high = config.epochs
    while not solved(high):
        high *= 2
        if high > MOST_EPOCHS:
            return
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if solved(middle) else (middle, high)
    yield high
