"""The words by which people call the parts of a data set."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from raymoco.errors import DataError

WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
}
TEST_WORDS = ("test", "validation", "valid", "val")  # a name may also only begin with one of these


def split_of_name(name: str) -> str | None:
    """`train`, `test` or `validation`, by the last such word in a path; None if it has none."""
    for part in reversed(name.lower().split("/")):
        for word in reversed(re.split(r"[\W_]+", part)):
            if word in WORDS:
                return WORDS[word]
        first = next((word for word in TEST_WORDS if part.startswith(word)), None)
        if first:
            return WORDS[first]
    return None


def test_files(names: Iterable[str], root: Path) -> set[str]:
    """The files that are the test set by their names; none where all of them would be.

    Raises:
        DataError: there are test and validation files.
    """
    found: dict[str | None, set[str]] = {}
    for name in names:
        found.setdefault(split_of_name(name), set()).add(name)
    tests = [found[word] for word in ("test", "validation") if word in found]
    if len(tests) > 1:
        raise DataError(
            f"{root}: has test and validation files, but one test set is enough (the "
            "evaluation split is taken from the training images): move the others away."
        )
    return tests[0] if tests and len(found) > 1 else set()
