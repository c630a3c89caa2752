"""What `raymoco evaluate` prints."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table
from rich.text import Text

from raymoco.study.statistics.items import mcnemar
from raymoco.using.judging import Judged, Judgement


def print_json(console: Console, judged: Judged) -> None:
    """One object: `encoders` and `baselines`, each a list of names with their metrics."""
    found = {
        kind: [{"name": one.name, "images": one.images, "metrics": one.row} for one in ones]
        for kind, ones in (("encoders", judged.encoders), ("baselines", judged.baselines))
    }
    console.print(json.dumps(found, indent=1), markup=False)


def print_judged(console: Console, judged: Judged) -> None:
    """A line for each metric of one encoder alone; a table of all of them, and the baselines."""
    first, *others = judged.encoders
    if not others:  # for scripts, as version 0.1 printed it
        for name, value in first.row.items():
            console.print(f"{name}  {value:.4f}", markup=False)
        if not judged.baselines:
            return
    table = Table()
    table.add_column("")  # a row for each metric: there may be many, and numbers are never cut
    everyone = [*judged.encoders, *judged.baselines]
    for one in everyone:
        table.add_column(Text(one.name), justify="right", overflow="fold")
    for name in dict.fromkeys(name for one in judged.encoders for name in one.row):
        table.add_row(name, *(_cell(one, name) for one in everyone))
    tested = next((name for name in first.right if others), None)
    if tested:
        compared = [_p(first, one, tested) for one in others]
        table.add_row("McNemar p", "", *compared, *("" for _ in judged.baselines))
    console.print(table)
    if tested:
        console.print(
            f"McNemar p: against {first.name}, image by image, by {tested}; the noise of training "
            "is not in it, paired seeds in an ablation show that.",
            markup=False,
        )


def _cell(one: Judgement, metric: str) -> str:
    return f"{one.row[metric]:.4f}" if metric in one.row else ""


def _p(first: Judgement, other: Judgement, metric: str) -> str:
    if first.images != other.images or metric not in other.right:
        return "other images"
    return f"{mcnemar(first.right[metric], other.right[metric]).p:.3g}"
