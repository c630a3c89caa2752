"""Search axes: what a sweep file says of one key, and what Optuna makes of it."""

from __future__ import annotations

from typing import Any

import optuna
from pydantic import ConfigDict, Field, model_validator

from raymoco.config import Part

KINDS = ("loguniform", "uniform", "int", "choice")
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


class Axis(Part):
    """One axis: exactly one of a range or a list, and perhaps a value that stands beside it.

    `{loguniform: [0.01, 10], or: 0}` is 0 half of the time and log-uniform otherwise: what a weight
    needs whose absence is a value of its own.
    """

    model_config = ConfigDict(populate_by_name=True)

    loguniform: tuple[float, float] | None = None
    uniform: tuple[float, float] | None = None
    int_: tuple[int, int] | None = Field(None, alias="int")
    choice: list[Any] | None = None
    or_: Any = Field(None, alias="or")

    @model_validator(mode="after")
    def _one_kind(self) -> Axis:
        given = [
            kind for kind, value in zip(KINDS, self._values(), strict=True) if value is not None
        ]
        if len(given) != 1:
            said = " and ".join(given) or "none of them"
            raise ValueError(f"an axis needs exactly one of {', '.join(KINDS)}, but has {said}")
        if self.choice is not None:
            if len(self.choice) < 1 or len(set(map(repr, self.choice))) != len(self.choice):
                raise ValueError(f"choice is {self.choice}, but must be a list of different values")
            if self.or_ is not None:
                raise ValueError("`or` beside choice is one more choice: put it into the list")
            return self
        low, high = self._range()
        if not low < high:
            raise ValueError(
                f"{given[0]} is [{low:g}, {high:g}], but the first must be the smaller"
            )
        if self.loguniform and low <= 0:
            raise ValueError(f"loguniform is [{low:g}, {high:g}], but both must be above 0")
        return self

    def _values(self) -> tuple[Any, ...]:
        return self.loguniform, self.uniform, self.int_, self.choice

    def _range(self) -> tuple[float, float]:
        found = self.loguniform or self.uniform or self.int_
        assert found is not None
        return found

    @property
    def extremes(self) -> list[Any]:
        """Values that a config must accept if the axis is to make sense."""
        ends = list(self.choice) if self.choice is not None else list(self._range())
        return ends if self.or_ is None else [*ends, self.or_]

    def suggest(self, trial: optuna.trial.BaseTrial, key: str) -> Any:
        """Ask an Optuna trial for a value; `or` becomes a switch of its own, `KEY:on`."""
        if self.or_ is not None and not trial.suggest_categorical(f"{key}:on", [True, False]):
            return self.or_
        if self.choice is not None:
            return trial.suggest_categorical(key, self.choice)
        if self.int_ is not None:
            return trial.suggest_int(key, *self.int_)
        low, high = self._range()
        return trial.suggest_float(key, low, high, log=self.loguniform is not None)

    def point(self, key: str, value: Any) -> dict[str, Any] | None:
        """The Optuna parameters that stand for a value; None if it lies off the axis."""
        if self.choice is not None:
            return {key: value} if value in self.choice else None
        if self.or_ is not None and value == self.or_:
            return {f"{key}:on": False}
        low, high = self._range()
        if not low <= value <= high:
            return None
        return {key: value} | ({f"{key}:on": True} if self.or_ is not None else {})

    def describe(self) -> str:
        """The axis in a few words, for `--dry-run`."""
        if self.choice is not None:
            return f"one of {', '.join(map(str, self.choice))}"
        low, high = self._range()
        kind = "log-uniform" if self.loguniform else "uniform" if self.uniform else "integer"
        return f"{kind} {low:g} to {high:g}" + (f", or {self.or_}" if self.or_ is not None else "")


def short_name(values: dict[str, Any]) -> str:
    """`T=0.10 K=256 m=0.99`: what varies, as short as a paper says it."""
    return " ".join(
        f"{SHORT.get(key, key.rpartition('.')[2])}={format_value(value)}"
        for key, value in values.items()
    )


def format_value(value: Any) -> str:
    """A value as a table or a name shows it: three significant digits."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3g}"
