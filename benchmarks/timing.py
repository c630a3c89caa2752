"""Fair timing on a shared machine: everything that is compared takes turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds of one thing's rounds, in the order in which they were measured."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The round in the middle, s."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        """Fastest to slowest round, ms."""
        return f"{min(self.seconds) * 1e3:.3g} to {max(self.seconds) * 1e3:.3g}"

    def over(self, other: Timing) -> float:
        """Median of the rounds' own ratios to the other's: neighbors in time share the noise."""
        return statistics.median(
            mine / its for mine, its in zip(self.seconds, other.seconds, strict=True)
        )


def interleaved(
    work: Mapping[str, Callable[[], object]], rounds: int = 9, warm_up: int = 1
) -> dict[str, Timing]:
    """Time each piece of work once a round, for some rounds; warm-up rounds are thrown away."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for number in range(warm_up + rounds):
        for name, run in work.items():
            started = time.perf_counter()
            run()
            seconds = time.perf_counter() - started
            if number >= warm_up:
                found[name].append(seconds)
    return {name: Timing(tuple(seconds)) for name, seconds in found.items()}
