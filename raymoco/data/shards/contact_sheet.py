"""The contact sheet: images of each class beside two views of each, as a run sees them."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from raymoco.config import DataConfig
from raymoco.data.codec import Pixels, decode_to
from raymoco.data.shards.manifest import ShardSet
from raymoco.data.shards.row_groups import read_columns, shard_slices
from raymoco.files import write_atomically

PER_CLASS = 3
CLASSES = 40  # of a page
TILE = 96  # side of an image on the sheet, in pixels, about
LARGEST = 224  # side at which images of many sizes are drawn, at most
GAP, MARGIN, BETWEEN = 4, 16, 18
NAMES = 150  # width of the class names
HEADER, CAPTION = 80, 16
HEADINGS = ("image", "view a", "view b")
INK, FAINT, LINE = "#1a1a1a", "#7a7a7a", "#d9d9d9"


@dataclass(frozen=True)
class Example:
    """An image of the sheet: its id, and its pixels as trained."""

    name: str
    pixels: Pixels


@dataclass(frozen=True)
class Page:
    """What a page shows: classes `first` to `last`, from 1, of `classes`; page `number` of `of`."""

    path: Path
    first: int
    last: int
    classes: int
    number: int
    of: int

    def line(self) -> str:
        """Say it in one line."""
        if self.of == 1:
            return str(self.path)
        more = f"; --page {self.number + 1} draws the next ones" * (self.number < self.of)
        return (
            f"{self.path} with classes {self.first} to {self.last} of {self.classes:,}, the "
            f"largest first{more}"
        )


def contact_sheet(
    shards: ShardSet,
    path: Path,
    views: str | dict[str, Any] = "auto",
    seed: int = 0,
    *,
    size: int | None = None,
    view_size: int | None = None,
    names: bool = False,
    page: int = 1,
    classes: int = CLASSES,
) -> Page:
    """Write a PNG with some training images of each class, each beside two views of it.

    Args:
        path: where the PNG goes.
        views: as in `data.views`.
        seed: of the views' random numbers; torch's global generator is restored.
        size: `data.image_size`; None: that of the images, or if they have many sizes about that of
            most of them.
        view_size: `data.view_size`.
        names: whether the name of its file stands under each image.
        page: which classes are drawn, from 1; the largest are on page 1, images without a label
            are the last.
        classes: on a page.
    Raises:
        ConfigError: the views do not suit the images.
        DataError: a shard is damaged.
    """
    counts = shards.manifest.counts["train"]
    every: list[str | None] = [*sorted(shards.classes, key=lambda name: -counts.per_class[name])]
    every += [None] * (counts.unlabelled > 0)
    pages = max(1, math.ceil(len(every) / classes))
    page = min(page, pages)
    shown = every[(page - 1) * classes : page * classes]
    encoded = _some_of_each(shards, shown)
    size = size or shards.image_size or _usual_side(encoded)
    rows = {
        name: [Example(image_id, decode_to(image, shards.channels, size)) for image_id, image in of]
        for name, of in encoded.items()
    }
    pair = _views_of(rows, shards, views, size, view_size or size, seed)
    per_class = {name: _count(shards, name) for name in shown}
    first = (page - 1) * classes + 1
    found = Page(path, first, first + len(shown) - 1, len(every), page, pages)
    title = f"{shards.manifest.source}, {size} x {size} pixels"
    said = f"{len(every):,} classes" if None not in every else f"{len(every) - 1:,} classes"
    if pages > 1:
        said = f"classes {found.first} to {found.last} of {found.classes:,}"
    sheet = _draw(rows, pair, per_class, (title, f"{said}, the largest first"), names=names)
    stream = io.BytesIO()
    sheet.save(stream, format="PNG")
    write_atomically(path, stream.getvalue())
    return found


def _views_of(
    rows: dict[str | None, list[Example]],
    shards: ShardSet,
    views: str | dict[str, Any],
    size: int,
    view_size: int,
    seed: int,
) -> list[tuple[Pixels, Pixels]]:
    # torch takes seconds to import, and counting does not need it
    import torch

    from raymoco.data.views.build import build_views, resolve_views

    manifest = shards.manifest
    two_views = build_views(
        resolve_views(DataConfig(views=views).views, manifest.source, shards.channels),
        channels=shards.channels,
        image_size=view_size,
        mean=manifest.mean,
        std=manifest.std,
    )
    every = [example.pixels for examples in rows.values() for example in examples]
    if not every:
        return []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pair = [two_views.to_pixels(view) for view in two_views(torch.from_numpy(np.stack(every)))]
    return list(zip(*(view.numpy() for view in pair), strict=True))


def _draw(
    rows: dict[str | None, list[Example]],
    pair: list[tuple[Pixels, Pixels]],
    per_class: dict[str | None, int],
    title: tuple[str, str],
    *,
    names: bool,
) -> Image.Image:
    first = next((examples[0].pixels for examples in rows.values() if examples), None)
    tile = TILE if first is None else _tile_side(first.shape[1])
    block, line = 3 * tile + 2 * GAP, tile + BETWEEN + CAPTION * names
    width = 2 * MARGIN + NAMES + PER_CLASS * block + (PER_CLASS - 1) * BETWEEN
    sheet = Image.new("RGB", (width, HEADER + len(rows) * line + MARGIN), "white")
    draw, large, small = ImageDraw.Draw(sheet), _font(15), _font(12)
    draw.text((MARGIN, 10), title[0], fill=INK, font=large)
    draw.text((MARGIN, 32), title[1], fill=FAINT, font=small)
    starts = [MARGIN + NAMES + x * (block + BETWEEN) for x in range(PER_CLASS)]
    for left in starts:
        for shift, heading in enumerate(HEADINGS):
            x = left + shift * (tile + GAP)
            draw.text((x, HEADER - 22), heading, fill=FAINT, font=small)
    views = iter(pair)
    for y, (name, examples) in enumerate(rows.items()):
        top = HEADER + y * line
        if y:
            draw.line((MARGIN, top - BETWEEN // 2, width - MARGIN, top - BETWEEN // 2), fill=LINE)
        label = "(no label)" if name is None else name
        label = _fitted(draw, label, NAMES - GAP, large)
        draw.text((MARGIN, top + tile // 2 - 20), label, fill=INK, font=large)
        count = f"{per_class[name]:,} to train on"
        draw.text((MARGIN, top + tile // 2 + 2), count, fill=FAINT, font=small)
        for left, example in zip(starts, examples, strict=False):
            for shift, pixels in enumerate((example.pixels, *next(views))):
                x = left + shift * (tile + GAP)
                draw.rectangle((x - 1, top - 1, x + tile, top + tile), outline=LINE)
                sheet.paste(_tile(pixels, tile), (x, top))
            if names:
                caption = _fitted(draw, example.name, block, small)
                draw.text((left, top + tile + 2), caption, fill=FAINT, font=small)
    return sheet


def _some_of_each(
    shards: ShardSet, shown: list[str | None]
) -> dict[str | None, list[tuple[str, bytes]]]:
    """Ids and encoded images of each class, up to PER_CLASS."""
    found: dict[str | None, list[tuple[str, bytes]]] = {name: [] for name in shown}
    wanted = {name: min(PER_CLASS, _count(shards, name)) for name in shown}
    for shard in shards.shards("train"):
        mine = [name for name in shown if (name is not None) is shard.labelled]
        for group_slice in shard_slices(shards.folder, shard):
            if all(len(found[name]) >= wanted[name] for name in mine):
                break
            columns = read_columns(group_slice, ["id", "image", "label"])
            for image_id, image, label in zip(*columns.values(), strict=True):
                name = None if label is None else shards.classes[label]
                if name in found and len(found[name]) < PER_CLASS:
                    found[name].append((image_id, image))
    return found


def _count(shards: ShardSet, name: str | None) -> int:
    counts = shards.manifest.counts["train"]
    return counts.unlabelled if name is None else counts.per_class[name]


def _usual_side(encoded: dict[str | None, list[tuple[str, bytes]]]) -> int:
    """The median short side of the images, at most 224."""
    sides = []
    for examples in encoded.values():
        for _, image in examples:
            with Image.open(io.BytesIO(image)) as opened:
                sides.append(min(opened.size))
    return max(4, min(LARGEST, int(np.median(sides)))) if sides else LARGEST


def _tile_side(size: int) -> int:
    """A whole multiple of small images, so that their pixels stay squares."""
    return size * max(1, round(TILE / size)) if size <= TILE else max(TILE, min(size, 128))


def _tile(pixels: Pixels, side: int) -> Image.Image:
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    smaller = image.width > side
    how = Image.Resampling.LANCZOS if smaller else Image.Resampling.NEAREST
    return image.convert("RGB").resize((side, side), how)


def _font(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=points)


def _fitted(draw: ImageDraw.ImageDraw, text: str, width: int, font: Any) -> str:
    """A text that fits, with its middle left out if it must."""
    if draw.textlength(text, font=font) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        end = kept // 2
        shorter = f"{text[: kept - end]}...{text[len(text) - end :]}"
        if draw.textlength(shorter, font=font) <= width:
            return shorter
    return "..."
