"""Draw a point that no trial of a search has had, where its sampler only repeats others."""

from __future__ import annotations

import functools
import random
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from raymoco.study.sweepfile.search_space import SearchSpace, point_id

DRAWS = 1000  # of points of a space that cannot be listed, before it counts as exhausted


@dataclass(frozen=True)
class Untried:
    """The points of a space that are still to be had."""

    space: SearchSpace

    @functools.cached_property
    def _listed(self) -> dict[str, dict[str, Any]] | None:
        points = self.space.finite_points()
        if points is None:
            return None
        return {point_id(point): self.space.params(point) or {} for point in points}

    def draw(
        self, seen: Container[str], numbers: random.Random, fixed: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return the Optuna parameters of a point that is not among those seen.

        Args:
            seen: by `point_id`.
            fixed: parameters that the point should have; if none has, they are ignored.
        Returns:
            None: there is no such point, or a thousand draws did not come upon one.
        """
        if self._listed is not None:
            left = [params for name, params in self._listed.items() if name not in seen]
            wanted = [params for params in left if fixed.items() <= params.items()]
            return numbers.choice(wanted or left) if left else None
        for _ in range(DRAWS):
            point = self.space.draw(numbers)
            if point_id(point) not in seen:
                return self.space.params(point)
        return None
