"""The axes of a search together: their conditions, their points, their grid."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from raymoco.errors import ConfigError
from raymoco.study.sweepfile.axis import ON, Axis, matches, say, setting_count
from raymoco.yamlfile import nearest

LISTED = 100_000  # combinations of values that are listed, at most


class SearchSpace:
    """The axes of a search, with the values of all other keys in the base run.

    A condition refers to the value in a trial: of another axis where that is sampled, otherwise of
    the base run.

    Args:
        axes: by config key.
        base: every value of the base run by dotted key.
    Raises:
        ConfigError: a condition names no key of a run, depends on itself, or can never be true.
    """

    def __init__(self, axes: Mapping[str, Axis], base: Mapping[str, Any]) -> None:
        self.axes, self._base = dict(axes), dict(base)
        for key, axis in self.axes.items():
            for other, wanted in axis.conditions.items():
                self._check(key, other, wanted)
        self._order = self._sorted()

    def holds(self, key: str, values: Mapping[str, Any]) -> bool:
        """Whether a trial with these values meets the conditions of an axis."""
        return all(
            matches(wanted, values.get(other, self._base.get(other)))
            for other, wanted in self.axes[key].conditions.items()
        )

    def suggest(self, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
        """Ask an Optuna trial for the value of every axis whose conditions hold."""
        values: dict[str, Any] = {}
        for key in self._order:
            if self.holds(key, values):
                values[key] = self.axes[key].suggest(trial, key)
        return {key: values[key] for key in self.axes if key in values}

    def params(self, point: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the Optuna parameters of a point, whole or partial; None if outside an axis."""
        params: dict[str, Any] = {}
        for key in self._order:
            if key in point and self._may_hold(key, point):
                found = self.axes[key].point(key, point[key])
                if found is None:
                    return None
                params |= found
        return params

    def _may_hold(self, key: str, point: Mapping[str, Any]) -> bool:
        """As `holds`, but an axis that a partial point leaves open may take any value."""
        return all(
            matches(wanted, point.get(other, self._base.get(other)))
            for other, wanted in self.axes[key].conditions.items()
            if other in point or other not in self.axes
        )

    def distributions(self) -> dict[str, BaseDistribution]:
        """Every parameter that Optuna may be asked for, conditional or not."""
        found: dict[str, BaseDistribution] = {}
        for key in self._order:
            if self.axes[key].or_ is not None:
                found[f"{key}{ON}"] = CategoricalDistribution([True, False])
            found[key] = self.axes[key].distribution
        return found

    def always(self) -> dict[str, BaseDistribution]:
        """The parameters that every trial has."""
        free = [key for key, axis in self.axes.items() if not axis.when]
        return {
            name: distribution
            for name, distribution in self.distributions().items()
            if name.removesuffix(ON) in free and (name.endswith(ON) or self.axes[name].or_ is None)
        }

    def grid(self) -> list[dict[str, Any]]:
        """Return every point of a finite space once, the last axis fastest.

        Raises:
            ConfigError: an axis is continuous.
        """
        endless = [key for key, axis in self.axes.items() if axis.points is None]
        if endless:
            raise ConfigError(
                f"search.{endless[0]} is continuous, but sampler grid needs axes with a choice, "
                "an int range, or a uniform range with a step.",
                ("search", endless[0]),
            )
        columns = [self.axes[key].points or [] for key in self._order]
        found: dict[str, dict[str, Any]] = {}
        for values in itertools.product(*columns):
            point: dict[str, Any] = {}
            for key, value in zip(self._order, values, strict=True):
                if self.holds(key, point):
                    point[key] = value
            # points that differ only in an axis that is left out are the same
            point = {key: point[key] for key in self.axes if key in point}
            found.setdefault(point_id(point), point)
        return list(found.values())

    def size(self) -> int | None:
        """Count the different points; None if they are endless, or too many to be counted."""
        counts = {key: setting_count({key: axis}) for key, axis in self.axes.items()}
        if any(count is None for count in counts.values()):
            return None
        conditional = {key for key, axis in self.axes.items() if axis.conditions}
        asked = {other for key in conditional for other in self.axes[key].conditions}
        tied = {key: axis for key, axis in self.axes.items() if key in conditional | asked}
        free = math.prod(count or 1 for key, count in counts.items() if key not in tied)
        listed = SearchSpace(tied, self._base).finite_points()
        return None if listed is None else free * len(listed)

    def finite_points(self) -> list[dict[str, Any]] | None:
        """Return every point of a finite space; None if they are endless, or too many to list."""
        columns = [axis.points for axis in self.axes.values()]
        if None in columns or math.prod(len(column or ()) for column in columns) > LISTED:
            return None
        return self.grid()

    def draw(self, numbers: random.Random) -> dict[str, Any]:
        """Draw a point anywhere in the space."""
        point: dict[str, Any] = {}
        for key in self._order:
            if self.holds(key, point):
                point[key] = self.axes[key].at(numbers.random(), with_or=True)
        return {key: point[key] for key in self.axes if key in point}

    def outside(self, values: Mapping[str, Any]) -> str:
        """Say which values lie outside their axes; '' if `params` takes the point.

        A value that is still `auto` is left out: it depends on the images.
        """
        return " and ".join(
            f"{key} is {values[key]}, but its axis is {self.axes[key].describe()}"
            for key in self._order
            if values.get(key) not in ("auto", None)
            and self._may_hold(key, values)
            and self.axes[key].point(key, values[key]) is None
        )

    def witness(self, key: str) -> dict[str, Any]:
        """Return values under which an axis is sampled, for checking its extremes."""
        values: dict[str, Any] = {}
        for other, wanted in self.axes[key].conditions.items():
            if other in self.axes and not (
                self.axes[other].when and matches(wanted, self._base.get(other))
            ):
                values |= self.witness(other)
                values[other] = self._example(self.axes[other], wanted)
        return values

    @staticmethod
    def _example(axis: Axis, wanted: Any) -> Any:
        tried = [*axis.extremes, *(axis.points or [])]
        return next(value for value in tried if matches(wanted, value))

    def _check(self, key: str, other: str, wanted: Any) -> None:
        here, place = f"search.{key}.when", ("search", key, "when")
        if other not in self._base:
            raise ConfigError(
                f"{here}: '{other}' is no key of a run{nearest(other, self._base)}", place
            )
        taken: list[Any] = []
        axis = self.axes.get(other)
        if axis is None or axis.when:
            taken.append(self._base[other])
        if axis is not None and axis.points is not None:
            taken += axis.points
        elif axis is not None and isinstance(wanted, dict):
            taken += axis.extremes
        elif axis is not None and axis.or_ is not None:
            # a continuous axis hits a given number with probability zero: only `or` counts
            taken.append(axis.or_)
        if not any(matches(wanted, value) for value in taken):
            values = ", ".join(map(str, dict.fromkeys(map(str, taken)))) or "no single value"
            raise ConfigError(f"{here}: {other} is never {say(wanted)}; it takes {values}.", place)

    def _sorted(self) -> list[str]:
        order: list[str] = []

        def visit(key: str, path: tuple[str, ...]) -> None:
            if key in path:
                circle = " needs ".join([*path[path.index(key) :], key])
                raise ConfigError(
                    f"search.{key}.when goes in a circle: {circle}.", ("search", key, "when")
                )
            for other in self.axes[key].conditions:
                if other in self.axes:
                    visit(other, (*path, key))
            if key not in order:
                order.append(key)

        for key in self.axes:
            visit(key, ())
        return order


def different(points: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the points in their order without duplicates."""
    found: dict[str, dict[str, Any]] = {}
    for point in points:
        found.setdefault(repr(sorted(point.items())), point)
    return list(found.values())


def point_id(values: Mapping[str, Any]) -> str:
    """Return a text that two points share if a trial cannot tell them apart: 1 is 1.0."""
    return json.dumps({key: _plain(value) for key, value in values.items()}, sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) + 0.0  # -0.0 is 0.0
    return value if isinstance(value, str | bool) or value is None else repr(value)
