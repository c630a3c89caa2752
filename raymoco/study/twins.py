"""Cells that differ on paper and train the same: their comparison would say nothing, at length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raymoco.config import INDECISIVE, RunConfig
from raymoco.errors import ConfigError
from raymoco.study.cells import Cell
from raymoco.yamlfile import flatten

LABELS = ("data.labelled_fraction", "data.labelled_list", "data.label_seed")


def refuse_twins(cells: Sequence[Cell], base: RunConfig) -> None:
    """Refuse two cells whose runs cannot differ.

    Raises:
        ConfigError: names both cells.
    """
    seen: list[tuple[str, dict[str, Any]]] = []
    for cell in cells:
        decides = what_decides(base.with_values(cell.values))
        for name, other in seen:
            if other == decides:
                raise ConfigError(
                    f"the cells '{name}' and '{cell.name}' coincide: {_why(cell, base)} they train "
                    "the same, so their comparison says nothing."
                )
        seen.append((cell.name, decides))


def what_decides(config: RunConfig) -> dict[str, Any]:
    """The values of a config by dotted key, without those that change nothing beside the others."""
    values = flatten(config.model_dump(exclude=INDECISIVE))
    method = config.method
    idle = []
    for name, term in (
        ("cross_consistency", method.cross_consistency),
        ("negative_uniformity", method.negative_uniformity),
    ):
        if term.weight == 0:
            idle += [f"method.{name}.form", f"method.{name}.temperature"]
        elif term.form in ("batch_transpose", "batch_pairs"):
            idle.append(f"method.{name}.temperature")
    if method.batch_norm != "split":
        idle.append("method.bn_groups")
        if config.scale.workers == 1:
            values["method.batch_norm"] = "plain"
    if method.loss != "unicon":
        idle.append("method.positives")
    blind = method.loss == "info_nce" and method.negative_uniformity.weight == 0
    if blind and config.data.mix == "natural" and config.eval.labels == "all":
        idle += LABELS
    return {key: value for key, value in values.items() if key not in idle}


def _why(cell: Cell, base: RunConfig) -> str:
    if "method.batch_norm" in cell.values and base.scale.workers == 1:
        return "at one worker plain, shuffle and sync are one;"
    return "beside the other values of the run"
