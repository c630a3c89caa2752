"""The contrasts of a design, as pure functions: weighted sums over cells, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from raymoco.study.sweepfile.cells import Cell, Design


@dataclass(frozen=True)
class Contrast:
    """Weights of cells; the value for a seed is the weighted sum of their scores.

    Attributes:
        name: as tables show it.
        levels: the compared level of each factor: of no factor for a comparison of cells, of one
        for
            a main effect, of two for an interaction.
        against: the level of each of these factors that it is compared with.
        weights: by cell name; their sum is 0.
    """

    name: str
    levels: Mapping[str, str]
    against: Mapping[str, str]
    weights: Mapping[str, float]

    def by_seed(self, scores: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
        """Return the value for each seed for which all its cells have a score."""
        parts = [scores.get(cell, {}) for cell in self.weights]
        seeds = sorted(set.intersection(*(set(part) for part in parts)))
        return {
            seed: math.fsum(weight * scores[cell][seed] for cell, weight in self.weights.items())
            for seed in seeds
        }


def cell_contrasts(cells: Sequence[Cell]) -> list[Contrast]:
    """Return the contrasts of each cell with the baseline, the first cell."""
    baseline = cells[0].name
    return [Contrast(cell.name, {}, {}, {cell.name: 1.0, baseline: -1.0}) for cell in cells[1:]]


def main_effects(cells: Sequence[Cell], design: Design = "full") -> list[Contrast]:
    """Return contrasts of each factor's levels with its level in the baseline, the first cell.

    Each is the mean over all pairs of cells of the design that differ in nothing else: over every
    setting of the other factors in a full design, at the baseline in one-at-a-time, and with
    everything else on in leave-one-out.
    """
    # leave_one_out with two factors is a full 2 x 2 design, of which only half the pairs are meant
    anchors = _all_on(cells) if design == "leave_one_out" else {cell.name for cell in cells}
    found = []
    for factor, start in cells[0].levels.items():
        for level in _other_levels(cells, factor):
            pairs = [
                (cell.name, other.name)
                for cell in cells
                for other in cells
                if cell.levels[factor] == level
                and cell.name in anchors
                and other.levels == {**cell.levels, factor: start}
            ]
            if pairs:
                signs = {c: 1.0 for c, _ in pairs} | {o: -1.0 for _, o in pairs}
                weights = {cell: sign / len(pairs) for cell, sign in signs.items()}
                found.append(
                    Contrast(f"{factor}={level}", {factor: level}, {factor: start}, weights)
                )
    return found


def interactions(cells: Sequence[Cell]) -> list[Contrast]:
    """Return contrasts of how much more a level gives where another is set too.

    Each is a difference of differences: for two factors and a level of each that is not the
    baseline's, the mean over all squares of cells that differ in nothing else.
    """
    found = []
    start = cells[0].levels
    by_levels = {tuple(cell.levels.items()): cell.name for cell in cells}
    for one, two in combinations(start, 2):
        for level_one in _other_levels(cells, one):
            for level_two in _other_levels(cells, two):
                candidates = [
                    _square(cell.levels, {one: start[one]}, {two: start[two]})
                    for cell in cells
                    if cell.levels[one] == level_one and cell.levels[two] == level_two
                ]
                squares = [square for square in candidates if set(square) <= by_levels.keys()]
                if not squares:
                    continue
                weights = {
                    by_levels[corner]: sign / len(squares)
                    for square in squares
                    for corner, sign in square.items()
                }
                found.append(
                    Contrast(
                        f"{one}={level_one} x {two}={level_two}",
                        {one: level_one, two: level_two},
                        {one: start[one], two: start[two]},
                        weights,
                    )
                )
    return found


def _square(
    levels: Mapping[str, str], one: Mapping[str, str], two: Mapping[str, str]
) -> dict[tuple[tuple[str, str], ...], float]:
    corners = [({}, 1.0), (one, -1.0), (two, -1.0), ({**one, **two}, 1.0)]
    return {tuple({**levels, **change}.items()): sign for change, sign in corners}


def _all_on(cells: Sequence[Cell]) -> set[str]:
    """Return the cells that differ from the baseline in every factor: one in leave-one-out."""
    start = cells[0].levels
    return {cell.name for cell in cells if all(cell.levels[f] != start[f] for f in start)}


def _other_levels(cells: Sequence[Cell], factor: str) -> list[str]:
    start = cells[0].levels[factor]
    found = dict.fromkeys(cell.levels[factor] for cell in cells)
    return [level for level in found if level != start]
