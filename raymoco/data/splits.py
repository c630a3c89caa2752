"""The split and the order of an image, as functions of its id alone.

They use a hash instead of a random generator, so that adding an image moves no other one, and so
that every machine and every later version agrees.
"""

from __future__ import annotations

import hashlib

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
