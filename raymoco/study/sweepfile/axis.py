"""Search axes: the values of one key in a sweep file, and how Optuna samples them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import ConfigDict, Field, model_validator

from raymoco.config import StrictModel
from raymoco.registry import name_of

KINDS = ("loguniform", "uniform", "int", "choice")
ON = ":on"  # the switch of an axis with `or`, as Optuna names it
SHORT = {
    "method.temperature": "T",
    "method.queue_size": "K",
    "method.key_momentum": "m",
    "method.loss": "loss",
    "method.cross_consistency.weight": "wc",
    "method.negative_uniformity.weight": "wu",
    "data.labelled_fraction": "labels",
    "optim.batch_size": "B",
}


class Axis(StrictModel):
    """One axis: exactly one of a range or a list, and optionally an `or` value.

    `{loguniform: [0.01, 10], or: 0}` is 0 half of the time and log-uniform otherwise, for a weight
    that may also be absent. `when: {method.loss: unicon}` leaves the axis out of every trial with
    another loss; a list means any of its values, `{not: 0}` anything else.
    """

    model_config = ConfigDict(populate_by_name=True)

    loguniform: tuple[float, float] | None = None
    uniform: tuple[float, float] | None = None
    int_: tuple[int, int] | None = Field(None, alias="int")
    choice: list[Any] | None = None
    step: float | None = Field(None, gt=0)
    or_: Any = Field(None, alias="or")
    when: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_said(cls, value: Any) -> Any:
        if isinstance(value, Mapping | Axis):
            return value
        numbers = isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
        if numbers:  # values, or the ends of a range? nobody but the user knows
            kind = "int" if all(isinstance(number, int) for number in value) else "uniform"
            raise ValueError(
                f"an axis says what its values are: write {{choice: {value}}} for these two, or "
                f"{{{kind}: {value}}} for everything between"
            )
        several = value if isinstance(value, list) and value else [value, "..."]
        text = ", ".join(map(str, several))
        raise ValueError(f"an axis says what its values are: write {{choice: [{text}]}}")

    @model_validator(mode="after")
    def _one_kind(self) -> Axis:
        given = [
            kind for kind, value in zip(KINDS, self._values(), strict=True) if value is not None
        ]
        if len(given) != 1:
            said = " and ".join(given) or "none of them"
            raise ValueError(f"an axis needs exactly one of {', '.join(KINDS)}, but has {said}")
        for other, wanted in self.conditions.items():
            _check_condition(other, wanted)
        if self.choice is not None:
            if len(self.choice) < 1 or len(set(map(repr, self.choice))) != len(self.choice):
                raise ValueError(f"choice is {self.choice}, but must be a list of different values")
            if any(isinstance(value, Mapping) for value in self.choice):
                raise ValueError(
                    f"choice is {self.choice}, but must hold words and numbers only: options of a "
                    "named thing are axes of their own, below its key"
                )
            if self.or_ is not None:
                raise ValueError("`or` beside choice is one more choice: put it into the list")
            if self.step is not None:
                raise ValueError("`step` belongs to int and uniform; a choice names its values")
            return self
        low, high = self._range()
        if not low < high:
            raise ValueError(
                f"{given[0]} is [{low:g}, {high:g}], but the first must be the smaller"
            )
        if self.loguniform and low <= 0:
            raise ValueError(f"loguniform is [{low:g}, {high:g}], but both must be above 0")
        if self.step is not None:
            self._check_step(self.step, low, high)
        return self

    def _check_step(self, step: float, low: float, high: float) -> None:
        if self.loguniform:
            raise ValueError("`step` belongs to int and uniform; a log-uniform axis has none")
        if self.int_ and step != int(step):
            raise ValueError(f"step is {step:g}, but must be a whole number on an int axis")
        steps = (high - low) / step
        if abs(steps - round(steps)) > 1e-9 * max(1.0, steps):
            raise ValueError(
                f"step is {step:g}, but must lead from {low:g} to {high:g} in whole steps"
            )

    def _values(self) -> tuple[Any, ...]:
        return self.loguniform, self.uniform, self.int_, self.choice

    def _range(self) -> tuple[float, float]:
        found = self.loguniform or self.uniform or self.int_
        assert found is not None
        return found

    @property
    def kind(self) -> str:
        """Its kind, one of `KINDS`."""
        return next(k for k, value in zip(KINDS, self._values(), strict=True) if value is not None)

    @property
    def conditions(self) -> dict[str, Any]:
        """The conditions of `when`; empty if the axis is always there."""
        return self.when or {}

    @property
    def extremes(self) -> list[Any]:
        """The extreme values, which a config must accept."""
        ends = list(self.choice) if self.choice is not None else list(self._range())
        return ends if self.or_ is None else [*ends, self.or_]

    @property
    def points(self) -> list[Any] | None:
        """Every value of a finite axis, `or` last; None for a continuous axis."""
        if self.choice is not None:
            return list(self.choice)
        if self.int_ is not None:
            low, high = self.int_
            values: list[Any] = list(range(low, high + 1, int(self.step or 1)))
        elif self.uniform is not None and self.step is not None:
            low_, high_ = self.uniform
            count = round((high_ - low_) / self.step)
            # round to nine digits: 0.1 + 2 * 0.1 is not a number that a user writes
            values = [round(low_ + index * self.step, 9) for index in range(count + 1)]
        else:
            return None
        return values if self.or_ is None else [*values, self.or_]

    def at(self, share: float, *, with_or: bool = False) -> Any:
        """Return the value at a share of the axis, 0 to 1; in log space for a log-uniform axis.

        Args:
            with_or: the lower half of the shares means the value of `or`, the upper half the range.
                Without it the value of `or` is left out, even where a finite range contains it.
        """
        # Two methods: sweeps of version 0.1 must draw the same values to the last digit, and a
        # population and the settings of an ablation were drawn differently.
        finite = self.points
        if with_or and self.or_ is not None:
            if share < 0.5:
                return self.or_
            share, finite = 2 * share - 1, finite and finite[:-1]
        elif self.or_ is not None:
            finite = [point for point in finite or [] if point != self.or_]
        if finite:
            return finite[min(int(share * len(finite)), len(finite) - 1)]
        low, high = self._range()
        if self.loguniform is None:
            return low + (high - low) * share
        if with_or:
            return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        return min(max(low * (high / low) ** share, low), high)

    def position(self, value: float) -> float:
        """Return the share of a continuous axis at which a value is: the inverse of `at`."""
        low, high = self._range()
        if self.loguniform is not None:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    @property
    def distribution(self) -> BaseDistribution:
        """The axis as an Optuna distribution, without its `or`."""
        if self.choice is not None:
            return CategoricalDistribution([_told(value) for value in self.choice])
        if self.int_ is not None:
            return IntDistribution(*self.int_, step=int(self.step or 1))
        low, high = self._range()
        return FloatDistribution(low, high, log=self.loguniform is not None, step=self.step)

    def suggest(self, trial: optuna.trial.BaseTrial, key: str) -> Any:
        """Ask an Optuna trial for a value; `or` becomes a separate switch, `KEY:on`."""
        if self.or_ is not None and not trial.suggest_categorical(f"{key}{ON}", [True, False]):
            return self.or_
        if self.choice is not None:
            chosen = trial.suggest_categorical(key, [_told(value) for value in self.choice])
            lists = (value for value in self.choice if isinstance(value, list))
            return next((value for value in lists if _told(value) == chosen), chosen)
        if self.int_ is not None:
            return trial.suggest_int(key, *self.int_, step=int(self.step or 1))
        low, high = self._range()
        log = self.loguniform is not None
        value = trial.suggest_float(key, low, high, log=log, step=self.step)
        return value if self.step is None else round(value, 9)

    def point(self, key: str, value: Any) -> dict[str, Any] | None:
        """Return the Optuna parameters of a value; None if it is outside the axis."""
        if self.or_ is not None and value == self.or_:
            return {f"{key}{ON}": False}
        points = self.points
        if points is not None:
            if value not in points:
                return None
            value = _told(points[points.index(value)])  # 1 for 1.0, as the axis has it
        else:
            low, high = self._range()
            if not _is_number(value) or not low <= value <= high:
                return None
        return {key: value} | ({f"{key}{ON}": True} if self.or_ is not None else {})

    def describe(self) -> str:
        """Describe the axis in a few words, for `--dry-run`."""
        if self.choice is not None:
            text = f"one of {', '.join(map(str, self.choice))}"
        else:
            low, high = self._range()
            kind = "log-uniform" if self.loguniform else "uniform" if self.uniform else "integer"
            text = f"{kind} {low:g} to {high:g}"
            text += f" by {self.step:g}" if self.step is not None else ""
            text += f", or {self.or_}" if self.or_ is not None else ""
        conditions = [f"{other} is {say(wanted)}" for other, wanted in self.conditions.items()]
        return text + (f"; when {' and '.join(conditions)}" if conditions else "")


def matches(wanted: Any, value: Any) -> bool:
    """Whether a value meets a condition of `when`: a value, a list, or `{not: ...}`."""
    if isinstance(wanted, dict):
        return not matches(wanted["not"], value)
    if isinstance(value, Mapping):  # a name with options beside it
        value = name_of(value)
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _told(value: Any) -> Any:
    """A value of a choice as Optuna stores it: a pair of bounds, which it cannot, as text."""
    return json.dumps(value) if isinstance(value, list) else value


def say(wanted: Any) -> str:
    """Describe a condition in words."""
    if isinstance(wanted, dict):
        return f"not {say(wanted['not'])}"
    return " or ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)


def _check_condition(other: str, wanted: Any) -> None:
    if isinstance(wanted, dict) and list(wanted) != ["not"]:
        raise ValueError(f"when.{other} is {wanted}, but must be a value, a list, or {{not: ...}}")
    inner = wanted["not"] if isinstance(wanted, dict) else wanted
    if isinstance(inner, dict) or inner is None or inner == []:
        raise ValueError(f"when.{other} is {wanted}, but must be a value, a list, or {{not: ...}}")


def short_name(values: dict[str, Any]) -> str:
    """Return a trial's values, with keys abbreviated as in papers: `T=0.1 K=256 m=0.99`."""
    return " ".join(
        f"{_short(key)}={format_value(value)}"
        for key, value in values.items()
        if not isinstance(value, dict)  # a schedule of a population
    )


def _short(key: str) -> str:
    if key.startswith("method.terms."):  # the user's name of the term says more than `weight`
        return key.removeprefix("method.terms.").removesuffix(".weight")
    return SHORT.get(key, key.rpartition(".")[2])


def format_value(value: Any) -> str:
    """Format a value for a table or a name: three significant digits."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3g}"


def setting_count(axes: Mapping[str, Axis]) -> int | None:
    """Return the number of settings that the axes allow; None if one is continuous."""
    counts = []
    for axis in axes.values():
        points = axis.points
        if points is None:
            return None
        counts.append(len(set(map(_told, points))))  # the value of `or` may also be in the range
    return math.prod(counts)
