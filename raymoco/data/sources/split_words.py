"""The words by which people call their splits: folders, files, and values of a column."""

from __future__ import annotations

import re
import unicodedata

_WORDS = {
    "train": ("train", "training", "trn"),
    "eval": (
        *("val", "valid", "validation", "validate", "eval", "evaluation"),
        *("dev", "devel", "development"),
    ),
    "test": ("test", "testing", "tst", "holdout", "heldout"),
}
SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
_NO_LABEL = ("unlabelled", "unlabeled", "nolabel", "nolabels", "unsupervised", "unsup")
_BESIDE = "set|sets|data|dataset|split|folder|dir|images|imgs|img|image|photos|pictures"
_AROUND = re.compile(rf"^(?:seg|images|imgs|img|data)?(.+?)(?:{_BESIDE})*\d*$")


def split_of(name: str) -> str | None:
    """Which split a word means: train, eval (`valid`, `dev`, ...) or test, in any case.

    `train_images`, `TrainSet` and `seg_train` are read as `train`. None: it is no such word.
    """
    return SPLIT_OF.get(_word(name))


def means_unlabeled(folder: str) -> bool:
    """Whether a folder's name says that its images have no label."""
    return _word(folder) in _NO_LABEL


def _word(folder: str) -> str:
    plain = re.sub(r"[\s_.\-]+", "", unicodedata.normalize("NFKC", folder)).lower()
    found = _AROUND.match(plain)
    return found.group(1) if found else plain
