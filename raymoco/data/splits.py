"""The split and the order of an image, as functions of ids and labels alone.

They use a hash instead of a random generator, so that adding an image moves no other one, and so
that every machine and every later version agrees. Only a class without a test or eval image needs
more than the hash of one image: see `SplitRule`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from raymoco.data.account import Account

EVAL_SHARE = 0.1
TEST_SHARE = 0.2


def unit_hash(text: str) -> float:
    """A number in [0, 1) that looks uniform and depends on `text` alone.

    The first 53 bits of its SHA-256, so that the float is exact and never rounds up to 1.
    """
    head = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8]
    return (int.from_bytes(head, "big") >> 11) / 2**53


def order_key(image_id: str) -> float:
    """The sort key of an image: an order independent of classes and folders."""
    return unit_hash(f"order:{image_id}")


def in_eval_split(image_id: str) -> bool:
    """Whether a labeled training image is among the 10 % that are used for evaluation only."""
    return unit_hash(f"eval:{image_id}") < EVAL_SHARE


def in_test_split(image_id: str) -> bool:
    """Whether an image is in the 20 % test set of a source that has no test set of its own."""
    return unit_hash(f"test:{image_id}") < TEST_SHARE


Ranked = tuple[float, str]  # the hash of an image, and its id


@dataclass
class _Class:
    """What `SplitRule` keeps of the images of one class: counts, and the ids at the ends."""

    given_test: bool = False
    hashed_tests: int = 0
    highest_test: Ranked | None = None  # among those
    lowest_undecided: Ranked | None = None  # by the test's hash, of images that are for no test
    pool: int = 0  # images that are for no test: for training and evaluation
    hashed_evals: int = 0  # among those
    lowest: list[Ranked] = field(default_factory=list)  # two of the pool, by the eval's hash
    highest: list[Ranked] = field(default_factory=list)


class SplitRule:
    """The split of every image of a source: first `see` all, then `settle`, then ask for `split`.

    The hash of an image's id decides. A class to which the hash gives no test image (or no eval
    image, or none for training) gets the one whose hash is nearest to the bound as a stand-in, if
    it has enough: two images give one for training and one for the test, three one for each. So an
    image's place depends on others of its class only while the class has no image by the hash
    alone; when the class grows, at most the stand-in goes back to where its own hash puts it.

    Args:
        labeled: whether the source has classes: then only images with a label judge.
    """

    def __init__(self, *, labeled: bool) -> None:
        self._labeled = labeled
        self._classes: dict[int | None, _Class] = {}
        self._moved: dict[str, str] = {}
        self._given_eval = False

    def see(self, image_id: str, label: int | None, given: str | None) -> str:
        """Note an image, and return the split that the hash alone gives it.

        Args:
            given: the split that the source says; None: the hash decides whether it is for testing.
        """
        found = self._hashed(image_id, label, given)
        self._given_eval |= given == "eval"
        if label is None and self._labeled:
            return found
        mine = self._classes.setdefault(label, _Class())
        if found == "test":
            mine.given_test |= given == "test"
            if given is None:
                mine.hashed_tests += 1
                mine.highest_test = _highest(mine.highest_test, _test_rank(image_id))
        elif given != "eval":
            mine.pool += 1
            mine.hashed_evals += found == "eval"
            rank = _eval_rank(image_id)
            mine.lowest = sorted([*mine.lowest, rank])[:2]
            mine.highest = sorted([*mine.highest, rank])[-2:]
            if given is None and label is not None:
                rank = _test_rank(image_id)
                mine.lowest_undecided = min(mine.lowest_undecided or rank, rank)
        return found

    def settle(self, account: Account) -> bool:
        """Choose the stand-ins, and account for them; return whether any split changed."""
        for mine in self._classes.values():
            self._settle(mine)
        for image_id, split in self._moved.items():
            reason = f"in {split}, where the hash of the name puts no image of the class"
            account.add("understood", reason, image_id)
        return self._given_eval or bool(self._moved)

    def split(self, image_id: str, label: int | None, given: str | None) -> str:
        """The split of an image, once all have been seen."""
        found = self._moved.get(image_id) or self._hashed(image_id, label, given)
        return "train" if found == "eval" and self._given_eval and given != "eval" else found

    def _hashed(self, image_id: str, label: int | None, given: str | None) -> str:
        if given in ("eval", "test"):
            return given
        if given is None and label is not None and in_test_split(image_id):
            return "test"
        # images without a label are used for evaluation only where no image has one
        judges = (label is not None or not self._labeled) and in_eval_split(image_id)
        return "eval" if judges else "train"

    def _settle(self, mine: _Class) -> None:
        """Move the stand-ins of a class: for the test first, then for evaluation."""
        pool, evals, gone = mine.pool, mine.hashed_evals, ""
        if not pool and mine.highest_test is not None:
            self._moved[mine.highest_test[1]] = "train"
            return
        untested = not mine.given_test and not mine.hashed_tests
        if untested and mine.lowest_undecided is not None and pool > 1:
            gone = mine.lowest_undecided[1]
            self._moved[gone] = "test"
            pool, evals = pool - 1, evals - in_eval_split(gone)
        if self._given_eval:
            return
        if evals == 0 and pool > 1:
            self._moved[next(name for _, name in mine.lowest if name != gone)] = "eval"
        elif pool and evals == pool:
            self._moved[next(name for _, name in reversed(mine.highest) if name != gone)] = "train"


def _test_rank(image_id: str) -> Ranked:
    return unit_hash(f"test:{image_id}"), image_id


def _eval_rank(image_id: str) -> Ranked:
    return unit_hash(f"eval:{image_id}"), image_id


def _highest(one: Ranked | None, other: Ranked) -> Ranked:
    return other if one is None else max(one, other)
