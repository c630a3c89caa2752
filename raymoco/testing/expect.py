"""The assertion of the conformance suites."""

from __future__ import annotations


def expect(kept: bool, words: str) -> None:
    """Raise AssertionError unless `kept`; `assert` would not run under python -O."""
    if not kept:
        raise AssertionError(words)
