"""The one range of values that becomes 0 to 255 in all images of more than 8 bits."""

from __future__ import annotations

from collections.abc import Sequence

from raymoco.data.decoding.deep import Range, Span
from raymoco.data.shards.stats import Built, Spans
from raymoco.errors import DataError

GIVE_ONE = "set data.value_range to the values that are black and white, such as [0, 4095]"


def add_span(spans: Spans, span: Span, image_id: str) -> None:
    """Widen the spans of a shard by one image."""
    kind = "floats" if span.floats else "whole numbers"
    low, high, name = spans.get(kind, (span.low, span.high, image_id))
    spans[kind] = (min(low, span.low), max(high, span.high), min(name, image_id))


def common_range(built: Sequence[Built], where: str) -> Range:
    """The least and the greatest value of all images of more than 8 bits.

    Raises:
        DataError: they hold one value only, or some hold whole numbers and others floats.
    """
    spans: Spans = {}
    for one in built:
        for kind, (low, high, name) in one.spans.items():
            add_span(spans, Span(low, high, kind == "floats"), name)
    if len(spans) > 1:
        named = " and others ".join(
            f"{kind} from {low:g} to {high:g} (such as {name})"
            for kind, (low, high, name) in sorted(spans.items())
        )
        raise DataError(
            f"{where}: of the images of more than 8 bits some hold {named}, and no one range fits "
            f"both: convert some of them, or {GIVE_ONE}."
        )
    ((low, high, name),) = spans.values()
    if low == high:
        raise DataError(
            f"{where}: all images of more than 8 bits, such as {name}, hold the one value {low:g}, "
            f"so there is no range of values that could become 0 to 255: {GIVE_ONE}."
        )
    return low, high
