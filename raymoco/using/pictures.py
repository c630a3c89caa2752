"""Pictures of what an encoder has learned: nearest neighbors, a map of its features, confusions."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F

from raymoco.data.codec import Pixels
from raymoco.files import write_atomically
from raymoco.study.report.confusion_chart import MOST_CLASSES, confusion_chart
from raymoco.study.report.figure_style import MUTED, distinct_styles, finish, new_figure, style

NEIGHBORS = 8
ROWS = 4  # queries of each kind
MAPPED = 5000  # images on the map, at most
NAMED_CLASSES = 14  # on the map; the others are gray
TILE = 72  # px
GAP, ROOM, HEADER = 6, 250, 30
RIGHT, WRONG, INK, FAINT, PAPER = "#009e73", "#d55e00", "#1b1f24", "#59636e", "#ffffff"


@dataclass(frozen=True, eq=False)
class Seen:
    """The images of a split as an encoder saw them, in order.

    Attributes:
        ids: (N,) text.
        pixels: (N, C, S, S) uint8.
        labels: (N,) int64, -1 where there is none.
        features: (N, F) float32.
    """

    ids: list[str]
    pixels: Pixels
    labels: NDArray[np.int64]
    features: NDArray[np.float32]


def draw_pictures(
    name: str, bank: Seen, asked: Seen, predicted: NDArray[np.int64], classes: tuple[str, ...],
    folder: Path,
) -> Path:  # fmt: skip
    """Draw neighbors.png, map.png and confusion.png, and a page that holds them.

    Args:
        name: of the encoder.
        bank: the labeled images of the train split.
        asked: the labeled images of the test split.
        predicted: the class of each of them by kNN, (M,).
        folder: where they are written.
    Returns:
        The page, which needs no other file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    neighbors, words = _neighbors(bank, asked, classes)
    pictures = [
        ("neighbors", "Nearest neighbors", neighbors, words),
        ("map", "Map of the features", *_map(asked, classes)),
    ]
    confusion = _confusion(asked, predicted, classes)
    if confusion is not None:
        pictures.append(("confusion", "Confusions of kNN", *confusion))
    parts = []
    for file, title, png, caption in pictures:
        write_atomically(folder / f"{file}.png", png)
        text = base64.b64encode(png).decode()
        parts.append(
            f"<h2>{title}</h2><img alt='{title}' src='data:image/png;base64,{text}'>"
            f"<p>{html.escape(caption)}</p>"
        )
    page = folder / "pictures.html"
    write_atomically(page, PAGE.format(name=html.escape(name), parts="".join(parts)))
    return page


def _neighbors(bank: Seen, asked: Seen, classes: tuple[str, ...]) -> tuple[bytes, str]:
    """Test images with their nearest training images: the best, typical and worst ones."""
    bank_NF = F.normalize(torch.from_numpy(bank.features), dim=1)
    asked_MF = F.normalize(torch.from_numpy(asked.features), dim=1)
    count = min(NEIGHBORS, len(bank.ids))
    blocks = [asked_MF[start : start + 1024] for start in range(0, len(asked_MF), 1024)]
    nearest = torch.cat([(block @ bank_NF.T).topk(count, 1).indices for block in blocks])
    agree = (bank.labels[nearest.numpy()] == asked.labels[:, None]).mean(1)
    order = np.argsort(-agree, kind="stable")
    middle = len(order) // 2
    spread = max(1, len(order) // 40)
    kinds = {
        "best": order[: ROWS * spread : spread],
        "typical": order[middle : middle + ROWS * spread : spread],
        "worst": order[::-1][: ROWS * spread : spread],
    }
    rows = [(kind, int(query)) for kind, some in kinds.items() for query in some[:ROWS]]
    width = ROOM + (TILE + GAP) * (count + 1) + 3 * GAP
    sheet = Image.new("RGB", (width, HEADER + (TILE + GAP) * len(rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, 6), "test image, its class", fill=FAINT, font=_font(13))
    draw.text((ROOM + TILE + 4 * GAP, 6), f"its {count} nearest training images", fill=FAINT,
              font=_font(13))  # fmt: skip
    for number, (kind, query) in enumerate(rows):
        top = HEADER + number * (TILE + GAP)
        label = classes[asked.labels[query]]
        draw.text((GAP, top + 12), f"{kind}: {_short(label)}", fill=INK, font=_font(14))
        draw.text((GAP, top + 34), _short(asked.ids[query]), fill=FAINT, font=_font(11))
        sheet.paste(_tile(asked.pixels[query]), (ROOM, top))
        for place, row in enumerate(nearest[query].tolist()):
            left = ROOM + TILE + 4 * GAP + place * (TILE + GAP)
            sheet.paste(_tile(bank.pixels[row]), (left, top))
            same = bank.labels[row] == asked.labels[query]
            frame = (left - 2, top - 2, left + TILE + 1, top + TILE + 1)
            draw.rectangle(frame, outline=RIGHT if same else WRONG, width=3)
            if not same:  # not by color alone
                draw.line((left, top, left + 14, top + 14), fill=WRONG, width=3)
    words = (
        f"Of {len(asked.ids):,} test images, ordered by how many of their {count} nearest training "
        f"images have their class ({agree.mean():.1%} on average): the best, those in the middle, "
        "and the worst. Green: the same class; orange with a stroke: another."
    )
    return _png(sheet), words


def _map(asked: Seen, classes: tuple[str, ...]) -> tuple[bytes, str]:
    """t-SNE of test features, after PCA, in the colors of the classes."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    some = np.random.default_rng(0).permutation(len(asked.ids))[:MAPPED]
    unit = F.normalize(torch.from_numpy(asked.features[some]), dim=1).numpy().astype(np.float64)
    reduced = PCA(min(50, *unit.shape), random_state=0).fit_transform(unit)
    perplexity = min(30.0, max(2.0, (len(unit) - 1) / 3))
    places = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(reduced)
    labels = asked.labels[some]
    common = [int(c) for c in np.argsort(-np.bincount(labels, minlength=len(classes)))]
    shown = [c for c in common[:NAMED_CLASSES] if (labels == c).any()]
    with style():
        figure, axes = new_figure(4.8, 7.2)
        others = ~np.isin(labels, shown)
        points: dict[str, Any] = {"linewidths": 0, "alpha": 0.8}
        if others.any():
            x, y = places[others].T
            axes.scatter(x, y, s=6, color=MUTED, label="other classes", **points)
        for label, (color, marker, _) in zip(shown, distinct_styles(len(shown)), strict=True):
            x, y = places[labels == label].T
            name = _short(classes[label], 20)
            axes.scatter(x, y, s=9, color=color, marker=marker, label=name, **points)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.6)
        drawing = finish(figure, "map", "Map of the features", "")
    return drawing.png, (
        f"{len(some):,} test images by t-SNE of their normalized features (after PCA to "
        f"{reduced.shape[1]} dimensions, perplexity {perplexity:.0f}). Near is alike; distances "
        "between clusters and their sizes mean nothing."
    )


def _confusion(
    asked: Seen, predicted: NDArray[np.int64], classes: tuple[str, ...]
) -> tuple[bytes, str] | None:
    """Which class was taken for which, of the most frequent classes; None without any."""
    common = np.argsort(-np.bincount(asked.labels, minlength=len(classes)))[:MOST_CLASSES]
    shown = sorted(int(c) for c in common if (asked.labels == c).any())
    if not shown:
        return None
    place = {label: number for number, label in enumerate(shown)}
    counts = np.zeros((len(shown), len(shown)), np.int64)
    elsewhere = 0
    for true, taken in zip(asked.labels.tolist(), predicted.tolist(), strict=True):
        if true in place and taken in place:
            counts[place[true], place[taken]] += 1
        else:
            elsewhere += 1
    words = "Percent of each class's test images, by the class that kNN gives them."
    if elsewhere:
        words += f" {elsewhere:,} images of or taken for one of the other classes are not shown."
    names = [classes[label] for label in shown]
    return confusion_chart(counts, names, "confusion", "Confusions of kNN", words).png, words


def _tile(pixels: Pixels) -> Image.Image:
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    how = Image.Resampling.LANCZOS if image.width > TILE else Image.Resampling.NEAREST
    return image.convert("RGB").resize((TILE, TILE), how)


def _font(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=points)


def _short(text: str, most: int = 34) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-most // 2 + 1 :]}"


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff }}
img {{ max-width: 100%; background: #fff; border-radius: 4px }}
@media (prefers-color-scheme: dark) {{ body {{ color: #e6edf3; background: #0d1117 }} }}
</style></head><body><h1>{name}</h1>{parts}</body></html>
"""
