"""Files of a kind below a folder, and which of them are the test set by their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from raymoco.data.account import Account
from raymoco.errors import DataError

WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
}
TEST_WORDS = ("test", "validation", "valid", "val")  # a name may also only begin with one of these
OWN = "folders of raymoco's own output"


def files_below(root: Path, suffixes: tuple[str, ...], account: Account) -> list[str]:
    """The files whose names end so, as paths below the root, sorted; hidden ones are left out.

    Args:
        account: told of shards that raymoco built below the root.
    Raises:
        DataError: a folder cannot be read.
    """
    found = []
    for folder, inner, names in os.walk(root, onerror=_refuse):
        below = os.path.relpath(folder, root)
        if below != "." and "manifest.json" in names and {"labelled", "unlabelled"} & set(inner):
            account.add("passed over", OWN, below)
            inner.clear()
            continue
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(suffixes) and not name.startswith("."):
                found.append(name if below == "." else f"{Path(below).as_posix()}/{name}")
    return sorted(found)


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


def test_files(names: Iterable[str], root: Path, account: Account) -> set[str]:
    """The files that are the test set by their names; none where all of them would be.

    Raises:
        DataError: there are test and validation files.
    """
    found: dict[str | None, set[str]] = {}
    for name in names:
        found.setdefault(split_of_name(name), set()).add(name)
    tests = [word for word in ("test", "validation") if word in found]
    if len(tests) > 1:
        raise DataError(
            f"{root}: has test and validation files, but one test set is enough (the "
            "evaluation split is taken from the training images): move the others away."
        )
    if tests and len(found) == 1:
        account.say(
            "understood",
            f"all files are called {tests[0]}, and none train: they are taken as all of the data",
        )
        return set()
    return found[tests[0]] if tests else set()


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
