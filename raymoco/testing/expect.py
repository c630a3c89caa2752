"""How a conformance suite says what is not kept."""

from __future__ import annotations


def expect(kept: bool, words: str) -> None:
    """Raise AssertionError unless something is kept; `assert` would vanish under python -O."""
    if not kept:
        raise AssertionError(words)
