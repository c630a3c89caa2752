"""Files of a kind below a folder, and which of them are the test set by their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from raymoco.data.account import Account
from raymoco.data.sources.split_words import SPLIT_OF
from raymoco.data.sources.unreadable import SPECIAL
from raymoco.errors import DataError

TEST_WORDS = ("test", "validation", "valid", "val")  # a name may also only begin with one of these
OWN = "folders of raymoco's own output"


def files_below(root: Path, suffixes: tuple[str, ...], account: Account) -> list[str]:
    """The files whose names end so, as paths below the root, sorted; hidden ones are left out.

    Args:
        account: told of shards that raymoco built below the root, and of pipes and devices.
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
                path, place = os.path.join(folder, name), os.path.normpath(f"{below}/{name}")
                if os.path.exists(path) and not os.path.isfile(path):  # a pipe would never end
                    account.add("passed over", SPECIAL, place)
                else:
                    found.append(Path(place).as_posix())
    return sorted(found)


def split_of_name(name: str) -> str | None:
    """`train`, `test` or `eval`, by the last such word in a path; None if it has none."""
    for part in reversed(name.lower().split("/")):
        for word in reversed(re.split(r"[\W_]+", part)):
            if word in SPLIT_OF:
                return SPLIT_OF[word]
        first = next((word for word in TEST_WORDS if part.startswith(word)), None)
        if first:
            return SPLIT_OF[first]
    return None


def splits_of(names: Iterable[str], root: Path, account: Account) -> dict[str, str]:
    """The split of every file by its name; empty where the names name no split.

    Validation is the split `eval` beside a test set, and the test set where there is no other.

    Raises:
        DataError: there are test and validation files, and none for training.
    """
    named = {name: split_of_name(name) for name in names}
    found = set(named.values())
    judges = found & {"test", "eval"}
    if found == {"test", "eval"}:
        raise DataError(
            f"{root}: has test and validation files, but none to train on: call those train."
        )
    if judges and len(found) == 1:
        word = "test" if "test" in judges else "validation"
        account.say(
            "understood",
            f"all files are called {word}, and none train: they are taken as all of the data",
        )
        return {}
    if not judges:
        return {}
    only = {judges.pop(): "test"} if len(judges) == 1 else {}
    return {name: only.get(split or "", split or "train") for name, split in named.items()}


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
