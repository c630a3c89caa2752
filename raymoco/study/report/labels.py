"""Words and numbers in the format of a report."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

from raymoco.metrics import describe
from raymoco.study.sweepfile.axis import SHORT, format_value


def metric_name(metric: str) -> str:
    """Return the metric in words, or its name if it has no label."""
    return describe(metric).label


def metric_label(metric: str) -> str:
    """Return the metric with its unit, for an axis."""
    return describe(metric).label_with_unit


def upright_label(metric: str) -> str:
    """Return the same, wrapped for a vertical axis."""
    return "\n".join(textwrap.wrap(metric_label(metric), 20))


def score_word(metric: str) -> str:
    """Return the word for the metric in a heading: "accuracy" only for an accuracy."""
    return "Accuracy" if describe(metric).is_accuracy else "Score"


def judged_in(metric: str, higher: bool) -> str:
    """Return the metric in words, with a note if lower is better."""
    return metric_name(metric) if higher else f"{metric_name(metric)} (less is better)"


def axis_label(key: str) -> str:
    """Return the label of a config key: `temperature T`, or the key's last word."""
    words = key.split(".")
    name = " ".join(
        words[-2:] if words[-1] in ("weight", "form", "temperature", "name") else words[-1:]
    )
    name = name.replace("method temperature", "temperature").replace("_", " ")
    short = SHORT.get(key, "")
    return f"{name} {short}" if len(short) in (1, 2) else name


def number(value: float | None, digits: int = 4, *, sign: bool = False) -> str:
    """Format a number for a table; '' for None or NaN."""
    if value is None or math.isnan(value):
        return ""
    return f"{value:{'+' if sign else ''}z.{digits}f}"


def p_value(value: float) -> str:
    """Format a p-value with two digits, never as zero."""
    if math.isnan(value):
        return ""
    return "<0.0001" if value < 1e-4 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def interval(low: float, high: float, digits: int = 4, *, sign: bool = False) -> str:
    """Format an interval as `0.91 to 0.95`; '' for NaN."""
    if math.isnan(low):
        return ""
    return f"{number(low, digits, sign=sign)} to {number(high, digits, sign=sign)}"


def settings(values: Mapping[str, Any]) -> str:
    """Format changed values as `method.temperature=0.1, epochs=3`, without schedules."""
    said = (f"{key}={format_value(value)}" for key, value in values.items() if key != "changes")
    return ", ".join(said) or "nothing"


def clip(text: str, length: int) -> str:
    """Shorten a text to a length; tables have the whole text."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def counted(count: int, one: str, many: str = "") -> str:
    """Format a count with its noun: `1 trial`, `2 trials`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
