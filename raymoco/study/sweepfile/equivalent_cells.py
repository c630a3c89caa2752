"""Reject ablation cells that are configured differently but train identically."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raymoco.config import RESULT_NEUTRAL, DataConfig, RunConfig
from raymoco.errors import ConfigError
from raymoco.study.sweepfile.cells import Cell
from raymoco.yamlfile import flatten

LABELS = ("data.labelled_fraction", "data.labelled_list", "data.label_seed")
CONTRASTIVE = ("unicon", "sup_con_in", "sup_con_out")
OF_KEYS = ("temperature", "queue_size", "queue_init", "key_momentum", "symmetric")


def refuse_equivalent_cells(cells: Sequence[Cell], base: RunConfig) -> None:
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
    values = flatten(config.model_dump(exclude=RESULT_NEUTRAL))
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
    if method.loss == "cross_entropy":  # it has no keys
        idle += [f"method.{name}" for name in OF_KEYS]
        if method.batch_norm == "shuffle":
            values["method.batch_norm"] = "plain"
    if method.loss in CONTRASTIVE and config.data.labelled_fraction == 0:
        values["method.loss"] = "info_nce"  # no other positive is left than InfoNCE's
    if values["method.loss"] != "unicon":
        idle.append("method.positives")
    blind = values["method.loss"] == "info_nce" and method.negative_uniformity.weight == 0
    if blind and config.data.mix == "natural" and config.eval.labels == "all":
        idle += LABELS
    idle += _idle_labels(config.data)
    return {key: value for key, value in values.items() if key not in idle}


def _idle_labels(data: DataConfig) -> list[str]:
    """The keys that choose among labels, where all of them are hidden or none is."""
    if data.labelled_fraction == 0:
        return ["data.label_seed", "data.labelled_list"]
    return ["data.label_seed"] if data.labelled_fraction == 1 else []


def _why(cell: Cell, base: RunConfig) -> str:
    if "method.batch_norm" in cell.values and base.scale.workers == 1:
        return "at one worker plain, shuffle and sync are one;"
    config = base.with_values(cell.values)
    if config.method.loss == "cross_entropy" and any(k.startswith("method.") for k in cell.values):
        return "cross_entropy has neither keys nor a queue:"
    visible = config.data.labelled_fraction
    if visible == 1 and "data.label_seed" in cell.values:
        return "where every label is visible"
    if visible == 0 and cell.values.keys() & {"method.loss", "method.positives", *LABELS}:
        return "where no label is visible"
    return "beside the other values of the run"
