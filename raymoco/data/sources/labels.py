"""Labels as people write them, turned into the numbers of classes."""

from __future__ import annotations

import math
import re
from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raymoco.data.account import Account
from raymoco.errors import DataError

# what stands where a label is missing; "" and null are not worth a remark
NO_LABEL = {
    *("-1", "-1.0", "nan", "none", "na", "n/a", "<na>", "#n/a", "null", "?"),
    *("-", "--", "nil", "n.a.", "nat", "missing", "undefined", "unlabeled", "unlabelled"),
}
MOST_CLASSES = 100_000
EXPECTED = "text, or whole numbers from 0 (-1 or null: no label)"
WHOLE = re.compile(r"-?\d+")
FLOAT = re.compile(r"(-?\d+)\.0*")  # 3.0: what a table of numbers makes of 3 where one is missing
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


class Labels:
    """Collects the labels of a source, then numbers its classes.

    `code` takes each label in turn, `close` decides about all of them. Memory grows with the number
    of different labels only.

    Attributes:
        classes: the names of the classes by number, once closed: in the order of numbers where all
            are whole numbers, else in the order of text.
    """

    def __init__(self, where: str) -> None:
        self.where = where  # begins every message: a file, and maybe a column
        self.classes: tuple[str, ...] = ()
        self._codes: dict[str, int] = {}
        self._none: Counter[str] = Counter()
        self._booleans = False
        self._floats = False

    def code(self, value: Any, count: int = 1) -> int:
        """The provisional number of a label as it is stored; -1 where it means none.

        Args:
            count: how many images have it.
        Raises:
            DataError: it is no label, such as a list; says what is expected.
        """
        known = self._codes.get(value) if type(value) is str else None
        if known is not None:
            return known
        word = self._word(value)
        if not word:
            return -1
        if word.lower() in NO_LABEL:
            self._none[word] += count
            return -1
        if word not in self._codes and len(self._codes) == MOST_CLASSES:
            raise DataError(
                f"{self.where} holds more than {MOST_CLASSES:,} different labels, such as "
                f"'{word}': is it another column that holds the classes?"
            )
        return self._codes.setdefault(word, len(self._codes))

    def known(self, value: Any) -> int:
        """The provisional number of a label that `code` has seen; -1 where it means none.

        Raises:
            DataError: it has not.
        """
        known = self._codes.get(value) if type(value) is str else None
        if known is not None:
            return known
        word = self._word(value)
        if not word or word.lower() in NO_LABEL:
            return -1
        if word not in self._codes:
            raise DataError(
                f"{self.where} has changed while it was read: the label '{word}' is new."
            )
        return self._codes[word]

    def close(self, names: list[str] | None = None) -> NDArray[np.int32]:
        """Number the classes; return the number of each provisional one, and -1 as the last.

        Args:
            names: the classes' names by number, where the source has them.
        Raises:
            DataError: the labels are no classes, but numbers such as 0.5 or -2.
        """
        words = list(self._codes)
        numbers = all(NUMBER.fullmatch(word) for word in words)
        whole = numbers and all(_whole(word) is not None for word in words)
        if words and numbers and not whole:
            odd = next(word for word in words if _whole(word) is None)
            raise DataError(f"{self.where} holds {odd}, but must hold {EXPECTED}.")
        final = [(_whole(word) or "") if whole else word for word in words]
        # -2 and -99 are codes for what is missing, also among words; -1 is understood as such
        signed = (word for word in words if word.startswith("-"))
        below = next((word for word in signed if (_whole(word) or "").strip("-0")), None)
        if below is not None:
            raise DataError(f"{self.where} holds {below}, but must hold {EXPECTED}.")
        ordered = sorted(set(final), key=lambda word: (int(word), word) if whole else (0, word))
        if whole and names is not None and all(int(word) < len(names) for word in final):
            self.classes = tuple(names)
            place = {word: int(word) for word in final}
        else:
            self.classes = tuple(ordered)
            place = {word: number for number, word in enumerate(ordered)}
        self._floats |= whole and any(one != word for one, word in zip(words, final, strict=True))
        return np.array([*(place[word] for word in final), -1], np.int32)

    def tell(self, account: Account) -> None:
        """Remark on what was read as no label, and on classes that look alike."""
        if self._none:
            shown = ", ".join(f"{count:,} '{word}'" for word, count in self._none.most_common(4))
            alone = ""
            left = self.classes[0] if len(self.classes) == 1 else ""
            if left.isdecimal() and any(word.startswith("-1") for word in self._none):
                alone = f"; only the class {left} is left: write both in words if -1 is one too"
            account.say(
                "understood", f"these labels in {self.where} were read as none: {shown}{alone}"
            )
        if self._floats:
            account.say("understood", f"labels such as 1.0 in {self.where} are the class 1")
        if self._booleans:
            account.say("understood", f"true and false in {self.where} are two classes")
        self._tell_gaps(account)
        same: dict[str, str] = {}
        for name in self.classes:
            other = same.setdefault(" ".join(name.casefold().split()), name)
            if other != name:
                account.say(
                    "understood",
                    f"'{other}' and '{name}' in {self.where} are two classes: they differ in "
                    "upper and lower case or spaces only",
                )
                return

    def _tell_gaps(self, account: Account) -> None:
        if not self.classes or not all(name.isdecimal() for name in self.classes):
            return
        values = [int(name) for name in self.classes]
        if values[-1] - values[0] >= len(values):
            shown = ", ".join(self.classes[:3]) + (", ..." if len(values) > 3 else "")
            account.say(
                "understood",
                f"labels in {self.where} are numbers with gaps: {len(values):,} classes of the "
                f"names {shown}",
            )

    def _word(self, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            return value.strip()
        if isinstance(value, bool):
            self._booleans = True
            return str(value).lower()
        if isinstance(value, int):
            return str(value)
        if isinstance(value, float | Decimal):
            return "nan" if math.isnan(value) else str(value)
        words = {"list": "a list", "dict": "a mapping", "bytes": "bytes"}
        kind = words.get(type(value).__name__, f"a {type(value).__name__}")
        raise DataError(
            f"{self.where} holds {kind}, such as {str(value)[:60]}, but must hold {EXPECTED}: one "
            "class for each image."
        )


def _whole(word: str) -> str | None:
    """The text of a whole number without `.0`; None for anything else."""
    if WHOLE.fullmatch(word):
        return word
    found = FLOAT.fullmatch(word)
    return found[1] if found else None
