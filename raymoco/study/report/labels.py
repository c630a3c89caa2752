"""Words and numbers as a report says them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

from raymoco.metrics import describe
from raymoco.study.sweepfile.axis import SHORT, format_value


def metric_name(metric: str) -> str:
    """The metric in words, its own name if it has none."""
    return describe(metric).label


def metric_label(metric: str) -> str:
    """The metric with its unit, as an axis says it."""
    return describe(metric).label_with_unit


def upright_label(metric: str) -> str:
    """The same in lines that are no longer than an upright axis."""
    return "\n".join(textwrap.wrap(metric_label(metric), 20))


def score_word(metric: str) -> str:
    """What a heading calls the metric: a loss is no accuracy."""
    return "Accuracy" if describe(metric).is_accuracy else "Score"


def judged_in(metric: str, higher: bool) -> str:
    """The metric in words, and that less is better where it is."""
    return metric_name(metric) if higher else f"{metric_name(metric)} (less is better)"


def axis_label(key: str) -> str:
    """A config key as an axis says it: `temperature T`, the key's last word where there is none."""
    words = key.split(".")
    name = " ".join(
        words[-2:] if words[-1] in ("weight", "form", "temperature", "name") else words[-1:]
    )
    name = name.replace("method temperature", "temperature").replace("_", " ")
    short = SHORT.get(key, "")
    return f"{name} {short}" if len(short) in (1, 2) else name


def number(value: float | None, digits: int = 4, *, sign: bool = False) -> str:
    """A number for a table; nothing where there is none."""
    if value is None or math.isnan(value):
        return ""
    return f"{value:{'+' if sign else ''}z.{digits}f}"


def p_value(value: float) -> str:
    """A p-value to two digits, never as zero."""
    if math.isnan(value):
        return ""
    return "<0.0001" if value < 1e-4 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def interval(low: float, high: float, digits: int = 4, *, sign: bool = False) -> str:
    """`0.91 to 0.95`; nothing where there is none."""
    if math.isnan(low):
        return ""
    return f"{number(low, digits, sign=sign)} to {number(high, digits, sign=sign)}"


def settings(values: Mapping[str, Any]) -> str:
    """`method.temperature=0.1, epochs=3`: what a config is changed by, schedules left out."""
    said = (f"{key}={format_value(value)}" for key, value in values.items() if key != "changes")
    return ", ".join(said) or "nothing"


def clip(text: str, length: int) -> str:
    """The beginning of a text that has no more room; tables have it whole."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 trial`, `2 trials`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
