"""Whole photographs as one kind of array: squashed to a square, with the true shape beside it.

Crops are cut on the device from arrays of one shape, but photographs have many. So a canvas is the
whole image, resized to a square whatever its shape, and one more line of pixels below that holds
its width and height. Memory, the object store, Ray Data and the shuffle window carry it like any
image; views read the line, and cut crops that are right in the photograph's own geometry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raymoco.data.decoding.resizing import squashed

if TYPE_CHECKING:
    from torch import Tensor

# of the side of a canvas to data.image_size: the views' crops are enlarged, so that some resolution
# in reserve shows; with more of it a view of the whole image would be sampled too coarsely
RESERVE = 1.25
MOST = 2**16 - 1  # px: two bytes each for width and height


def canvas_side(image_size: int) -> int:
    """The side of a canvas, in pixels."""
    return round(RESERVE * image_size)


def canvas_shape(image_size: int) -> tuple[int, int]:
    """Height and width of a canvas with its line."""
    side = canvas_side(image_size)
    return side + 1, side


def to_canvas(pixels: NDArray[np.uint8], channels: int, image_size: int) -> NDArray[np.uint8]:
    """Squash an image to a canvas.

    Args:
        pixels: (C, H, W) with C 1 or 3.
        channels: of the canvas, 1 or 3.
    Returns:
        (channels, side + 1, side).
    """
    height, width = pixels.shape[1:]
    side = canvas_side(image_size)
    if channels == 1 and len(pixels) == 3:
        color = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        pixels = np.asarray(color.convert("L"))[None]
    canvas = np.zeros((channels, side + 1, side), np.uint8)
    canvas[:, :side] = squashed(pixels, side)  # gray fills all channels
    # only their ratio counts
    scale = max(1.0, max(width, height) / MOST)
    shape = [max(1, round(width / scale)), max(1, round(height / scale))]
    canvas[0, side, :4] = np.array(shape, ">u2").view(np.uint8)
    return canvas


def is_canvas(images: Tensor) -> bool:
    """Whether images (B, C, H, W) are canvases: other images are squares."""
    return bool(images.shape[2] == images.shape[3] + 1)


def aspects(canvases: Tensor) -> Tensor:
    """The true width over height of each canvas (B, C, side + 1, side) uint8: (B,) float32."""
    line_B4 = canvases[:, 0, -1, :4].float()
    return (line_B4[:, 0] * 256 + line_B4[:, 1]) / (line_B4[:, 2] * 256 + line_B4[:, 3])
