"""Reject ablation cells that are configured differently but train identically."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raymoco.choices import LOSSES
from raymoco.config import RunConfig
from raymoco.errors import ConfigError
from raymoco.registry import name_of
from raymoco.study.sweepfile.cells import Cell

LABELS = ("data.labelled_fraction", "data.labelled_list", "data.label_seed")


def refuse_equivalent_cells(cells: Sequence[Cell], base: RunConfig, *, look: bool = False) -> None:
    """Refuse two cells whose runs would be identical.

    Args:
        look: as for `RunConfig.effective`.
    Raises:
        ConfigError: names both cells.
    """
    seen: list[tuple[str, dict[str, Any]]] = []
    for cell in cells:
        decides = base.with_values(cell.values).effective(look=look)
        for name, other in seen:
            if other == decides:
                raise ConfigError(
                    f"the cells '{name}' and '{cell.name}' coincide: {_why(cell, base)} they train "
                    "the same, so their comparison says nothing."
                )
        seen.append((cell.name, decides))


def _why(cell: Cell, base: RunConfig) -> str:
    if "method.batch_norm" in cell.values and base.scale.workers == 1:
        return "at one worker plain, shuffle and sync are one;"
    config = base.with_values(cell.values)
    keyless = not LOSSES.facts(config.method.loss).has_keys
    if keyless and any(key.startswith("method.") for key in cell.values):
        return f"{name_of(config.method.loss)} has neither keys nor a queue:"
    visible = config.data.labelled_fraction
    if visible == 1 and "data.label_seed" in cell.values:
        return "where every label is visible"
    if visible == 0 and cell.values.keys() & {"method.loss", "method.positives", *LABELS}:
        return "where no label is visible"
    return "beside the other values of the run"
