"""A file or picture as the encoder saw its training images."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from raymoco.data.account import Kind
from raymoco.data.codec import Pixels, decode_file, encode_png
from raymoco.errors import DataError

# a path, encoded bytes, a Pillow image, or pixels (H, W) or (H, W, 3)
Picture = str | PathLike[str] | bytes | Image.Image | NDArray[np.uint8]
PLAIN = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")  # modes that a PNG keeps as they are


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image before the encoder: all that training did, but nothing random.

    The shorter side is resized to `resize` px (bicubic, antialiased), the center square of `crop`
    px is cut out, colors are made gray where `channels` is 1 (and gray three times itself where it
    is 3), and each channel is normalized by `mean` and `std`, both in 0-1.

    Attributes:
        size: shorter side that larger images were stored at, px; None: stored as they were.
        background: the color behind transparent parts.
        value_range: values that become 0 and 255 in images of more than 8 bits; None: all 16 bits.
    """

    channels: int
    resize: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int | None = None
    background: str = "white"
    value_range: tuple[float, float] | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Preprocessing:
        """Read it from the facts about data in a checkpoint; those of 0.1 have fewer."""
        reading = data.get("reading", {})
        given = reading.get("value_range")
        return cls(
            channels=data["channels"],
            resize=reading.get("image_size") or data["image_size"],
            crop=data["image_size"],
            mean=tuple(data["mean"]),
            std=tuple(data["std"]),
            size=reading.get("size"),
            background=reading.get("background") or "white",
            value_range=given and (given[0], given[1]),
        )

    def pixels(self, picture: Picture) -> tuple[Pixels, tuple[tuple[Kind, str], ...]]:
        """The pixels that are normalized, (channels, crop, crop) uint8, and remarks on the image.

        Raises:
            DataError: there is no such file, or it is no image; names it.
        """
        found, where = _encoded(picture)
        try:
            whole, remarks = decode_file(
                found,
                self.channels,
                self.resize,
                size=self.size,
                background=self.background,
                value_range=self.value_range,
            )
        except DataError as error:
            raise DataError(f"{where}: {error}.") from None
        first = (self.resize - self.crop) // 2
        last = first + self.crop
        return whole[:, first:last, first:last], remarks

    def normalize(self, pixels: Tensor) -> Tensor:
        """uint8 (..., channels, H, W) to float32 of mean 0 and deviation 1 in training."""
        shape = (-1, 1, 1)
        mean, std = (
            torch.tensor(values, device=pixels.device).view(shape)
            for values in (self.mean, self.std)
        )
        return (pixels.float() / 255 - mean) / std

    def __call__(self, picture: Picture) -> Tensor:
        """Return what the encoder takes, (channels, crop, crop) float32.

        Args:
            picture: a path, encoded bytes, a Pillow image, or pixels (H, W) or (H, W, 3) uint8.
        Raises:
            DataError: as `pixels`.
        """
        pixels, _ = self.pixels(picture)
        return self.normalize(torch.from_numpy(np.ascontiguousarray(pixels)))


def _encoded(picture: Picture) -> tuple[bytes | Pixels, str]:
    """Something that the decoder takes, and what to call it in a message."""
    if isinstance(picture, bytes):
        return picture, "the image"
    if isinstance(picture, np.ndarray):
        if (
            picture.dtype != np.uint8
            or picture.ndim not in (2, 3)
            or picture.shape[2:] not in ((), (3,))
        ):
            raise DataError(
                f"an image is an array of {picture.dtype} and the shape {picture.shape}, but must "
                "be uint8, (H, W) or (H, W, 3)."
            )
        return picture, "the image"
    if isinstance(picture, Image.Image):
        image = ImageOps.exif_transpose(picture)
        if image.mode in ("L", "RGB") and "transparency" not in image.info:
            return encode_png(np.asarray(image)), "the image"
        image = image if image.mode in PLAIN else image.convert("RGB")
        stream = io.BytesIO()
        image.save(stream, "PNG", compress_level=1)
        return stream.getvalue(), "the image"
    path = Path(picture)
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
