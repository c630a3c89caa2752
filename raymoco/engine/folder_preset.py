"""The preset `folder`: what fits a folder of images, by two tables.

docs/data.md shows the tables. The values are written into the config before anything else, so that
a resumed or repeated run does not ask the folder again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raymoco.config import DataConfig
from raymoco.config.presets import Decision
from raymoco.data.sources.probe import Probe, probe
from raymoco.engine.regime import share
from raymoco.errors import DataError


@dataclass(frozen=True)
class SizeRow:
    """From a median shorter side on: the side of what the encoder sees, in pixels."""

    from_side: int
    seen: int


@dataclass(frozen=True)
class AmountRow:
    """From a number of training images on: the network and the regime.

    After the run at most 5 % of the key encoder's first weights are left, the queue has been filled
    more than twice, and it holds at most a quarter of the images. A test computes all three.
    """

    from_images: int
    backbone: str
    batch_size: int
    lr: float
    queue_size: int
    key_momentum: float
    epochs: int


SIZES = (
    SizeRow(1, 8),
    SizeRow(12, 16),
    SizeRow(24, 32),
    SizeRow(48, 64),
    SizeRow(96, 96),
    SizeRow(192, 128),
)
LARGE, LARGE_SEEN = 100_000, 224  # so many images of the last row are seen larger
AMOUNTS = (
    AmountRow(40, "resnet8", 8, 0.03, 8, 0.95, 100),
    AmountRow(80, "resnet8", 16, 0.03, 16, 0.97, 100),
    AmountRow(160, "resnet8", 16, 0.03, 32, 0.97, 60),
    AmountRow(320, "resnet8", 32, 0.03, 64, 0.97, 60),
    AmountRow(640, "resnet8", 32, 0.03, 128, 0.97, 40),
    AmountRow(1_280, "resnet8", 64, 0.03, 256, 0.97, 40),
    AmountRow(2_560, "resnet8", 64, 0.03, 512, 0.99, 30),
    AmountRow(5_120, "resnet8", 128, 0.06, 1_024, 0.99, 30),
    AmountRow(20_480, "resnet18", 256, 0.06, 4_096, 0.99, 20),
    AmountRow(81_920, "resnet18", 256, 0.03, 16_384, 0.996, 20),
    AmountRow(163_840, "resnet50", 256, 0.03, 32_768, 0.999, 20),
)
FEWEST = AMOUNTS[0].from_images
HIDDEN = {"resnet8": 64, "resnet18": 512, "resnet50": 2048}  # of the projector
NATIVE = 48  # squares of one size up to this side are not resized
SMALL = 32  # up to this side a resnet8 is 16 wide, above it 32
GLYPHS = 32  # gray images up to this side may be letters, which must not be mirrored
SOME_OBLONG = 0.1  # share of images that are not square, beyond which views see the whole of each
LEAST_WHOLE = 64  # px seen: below it the center square is kept
SHORT_SIDE = 8 / 7  # of the side that is seen, before the center is cut: 256 for 224, as published
EVALUATIONS = 10  # over the whole run


def folder_values(values: Mapping[str, Any]) -> tuple[str, list[Decision]]:
    """Look at the images that a config's `data` names, and decide the rest by the tables.

    Args:
        values: the section `data`.
    Returns:
        What was found, in a sentence; and the decisions.
    Raises:
        DataError: there are too few images, or none can be read.
    """
    data = DataConfig.model_validate(values)
    found = probe(data)
    return describe(found, str(data.root)), decide(found, str(data.root))


def describe(found: Probe, where: str) -> str:
    """What lies in a folder, in a sentence."""
    labels = f"{found.classes} classes" if found.classes else "no labels"
    if found.classes and found.labelled < found.images:
        labels += f", {found.labelled:,} of them with a label"
    kind = "color" if found.channels == 3 else "gray"
    size = (
        f"{found.square} x {found.square} px"
        if found.square
        else f"the shorter side {found.short_side} px in the median"
    )
    return (
        f"{where}: {found.images:,} images, about {found.train:,} to train on; {labels}; "
        f"{kind}, {size} (of {found.sampled} that were looked at)"
    )


def decide(found: Probe, where: str) -> list[Decision]:
    """Return the values that the tables have for such images, each with its reason.

    Raises:
        DataError: there are too few images.
    """
    if found.train < FEWEST:
        raise DataError(
            f"{where}: about {found.train} of its {found.images} images would be trained on (the "
            f"rest judges the encoder), but the preset folder needs {FEWEST}. Add images, with "
            "labels or without; or set batch, queue and the rest in a YAML file of your own."
        )
    amount = next(row for row in reversed(AMOUNTS) if row.from_images <= found.train)
    seen, _ = _seen(found)
    side = f"{seen} px"
    many = f"{found.train:,} images to train on"
    steps = found.train // amount.batch_size * amount.epochs
    left = share(amount.key_momentum**steps)
    width = 16 if seen <= SMALL else 32
    decisions = [
        *decide_data(found),
        Decision("model.backbone", amount.backbone, many),
        *([Decision("model.width", width, side)] if amount.backbone == "resnet8" else []),
        Decision("model.projector.hidden", HIDDEN[amount.backbone], amount.backbone),
        Decision("optim.batch_size", amount.batch_size, many),
        Decision("optim.lr", amount.lr, f"batches of {amount.batch_size}"),
        Decision("method.queue_size", amount.queue_size, f"at most a quarter of {many}"),
        Decision(
            "method.key_momentum",
            amount.key_momentum,
            f"after the table's {amount.epochs} epochs {left} of the key encoder's first weights "
            "are left",
        ),
        Decision("epochs", amount.epochs, many),
        Decision("eval.every", max(1, amount.epochs // EVALUATIONS), "ten evaluations"),
    ]
    if not found.classes:
        decisions.append(Decision("method.loss", "info_nce", "no image has a label"))
    return decisions


def decide_data(found: Probe) -> list[Decision]:
    """Return the values of `data`, which follow from the kind of images, however few they are."""
    seen, why_seen = _seen(found)
    views, why_views = _views(found.channels == 1, seen)
    return [*_sizes(found, seen, why_seen), Decision("data.views", views, why_views)]


def _seen(found: Probe) -> tuple[int, str]:
    """The side of what the encoder sees, and why."""
    if found.square is not None and found.square <= NATIVE:
        return found.square, f"all are {found.square} x {found.square} px"
    row = next(row for row in reversed(SIZES) if row.from_side <= found.short_side)
    why = f"the shorter side is {found.short_side} px in the median"
    if row is SIZES[-1] and found.train >= LARGE:
        return LARGE_SEEN, f"{why}, and there are {found.train:,} images"
    return row.seen, why


def _sizes(found: Probe, seen: int, why: str) -> list[Decision]:
    """The sizes: of photographs that are not square, views are cut from the whole image."""
    if found.oblong <= SOME_OBLONG or seen < LEAST_WHOLE:
        return [Decision("data.image_size", seen, why)]
    whole = f"{found.oblong:.0%} are not square, so that views are cut from the whole image"
    return [
        Decision("data.view_size", seen, why),
        Decision("data.image_size", round(seen * SHORT_SIDE), whole),
    ]


def _views(gray: bool, seen: int) -> tuple[str, str]:
    if not gray:
        return "colour", "color images"
    if seen <= GLYPHS:
        return "glyph", f"gray and {seen} px: letters must not be mirrored; else take grey"
    return "grey", "gray images"
