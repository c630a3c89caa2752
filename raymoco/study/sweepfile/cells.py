"""The cells of an ablation from its factors with named levels, as pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from raymoco.errors import ConfigError
from raymoco.yamlfile import means

Design = Literal["full", "one_at_a_time", "leave_one_out"]
Factors = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Cell:
    """One setting of all factors: the level of each, and the config values that it sets."""

    levels: dict[str, str]
    values: dict[str, Any]

    @property
    def name(self) -> str:
        """`cross=on uniform=off`, as tables show it."""
        return " ".join(f"{factor}={level}" for factor, level in self.levels.items())

    @property
    def slug(self) -> str:
        """The name in a form for file names."""
        named = "_".join(f"{factor}={level}" for factor, level in self.levels.items())
        return re.sub(r"[^\w.=+-]", "", named)


def expand_cells(factors: Factors, design: Design, baseline: Mapping[str, str]) -> list[Cell]:
    """Return the cells of a design, the baseline first.

    Args:
        factors: levels by factor, config values by level; the first level of a factor is its
            baseline unless `baseline` names one.
        design: `full`: every combination. `one_at_a_time`: the baseline, and each other level of
            each factor alone. `leave_one_out`: every factor at its last level, and each factor in
            turn put back to its baseline; and the baseline.
    Raises:
        ConfigError: an unknown factor or level, two factors that set the same key, two cells that
            set the same values, or a factor that `leave_one_out` would never vary.
    """
    start = {factor: baseline.get(factor, next(iter(levels))) for factor, levels in factors.items()}
    for factor, level in baseline.items():
        if factor not in factors:
            raise ConfigError(f"baseline names '{factor}', but the factors are {_list(factors)}.")
        if level not in factors[factor]:
            raise ConfigError(
                f"baseline.{factor} is '{level}', but its levels are {_list(factors[factor])}."
            )
    _check_keys(factors)
    if design == "full":
        names = list(factors)
        chosen = [dict(zip(names, c, strict=True)) for c in product(*factors.values())]
    elif design == "one_at_a_time":
        chosen = [{**start, f: level} for f in factors for level in factors[f] if level != start[f]]
    else:
        everything = {factor: list(levels)[-1] for factor, levels in factors.items()}
        _check_left_out(start, everything)
        chosen = [everything, *({**everything, f: start[f]} for f in factors)]
    unique = [start] + [levels for levels in chosen if levels != start]
    cells = [_cell(factors, levels) for n, levels in enumerate(unique) if levels not in unique[:n]]
    for number, cell in enumerate(cells):
        for earlier in cells[:number]:
            if cell.values == earlier.values:
                raise ConfigError(
                    f"the cells '{earlier.name}' and '{cell.name}' coincide: they set the same "
                    "values, so their comparison says nothing."
                )
            if cell.slug == earlier.slug:
                raise ConfigError(
                    f"the cells '{earlier.name}' and '{cell.name}' have the same name in letters "
                    "and digits: rename a level."
                )
    return cells


def name_levels(baseline: Any, factors: Factors) -> Any:
    """Return the baseline with the names of levels, such as `0.10` where YAML has read 0.1.

    A level's name is the word in the file. YAML reads the same word as a number where it is a
    value, as on the command line or in a resolved file.

    Args:
        baseline: a level by factor, as it was read.
    Returns:
        Each level as the only name that means the same; if none does, as text; if several do, as it
            was read, which is not a name.
    """
    if not isinstance(baseline, Mapping):
        return baseline
    return {key: _level_meant(level, factors.get(key, ())) for key, level in baseline.items()}


def _level_meant(level: Any, names: Iterable[str]) -> Any:
    if isinstance(level, str):
        return level
    same = [name for name in names if means(name, level)]
    if len(same) > 1:
        return level
    return same[0] if same else str(level)


def _cell(factors: Factors, levels: dict[str, str]) -> Cell:
    values: dict[str, Any] = {}
    for factor, level in levels.items():
        values.update(factors[factor][level])
    return Cell(dict(levels), values)


def _check_keys(factors: Factors) -> None:
    owner: dict[str, str] = {}
    for factor, levels in factors.items():
        for level, values in levels.items():
            for key in values:
                if owner.setdefault(key, factor) != factor:
                    raise ConfigError(
                        f"the factors '{owner[key]}' and '{factor}' both set {key}; a key belongs "
                        f"to one factor (level '{level}')."
                    )


def _check_left_out(start: Mapping[str, str], everything: Mapping[str, str]) -> None:
    for factor, level in everything.items():
        if start[factor] == level:
            raise ConfigError(
                f"baseline.{factor} is '{level}', the last of its levels, which leave_one_out "
                f"takes for on: it would never vary. Write '{level}' first, and last the level "
                "that is put in."
            )


def _list(names: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(names)
