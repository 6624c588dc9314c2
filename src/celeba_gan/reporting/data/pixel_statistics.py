"""The mean and standard deviation of the training images, and how many are gray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from celeba_gan.images.packed import PackedImages

_CHUNK_BYTES: Final = 8 * 2**20
_CHUNK_IMAGES: Final = 2**15  # a sum of so many squares fits in 32 bits
_GRAY: Final = 4  # of 255: JPEG noise between the channels of a gray photograph

_SIDE, _GAP, _CAPTION = 320, 12, 26  # pixels


@dataclass(frozen=True)
class PixelStatistics:
    """Statistics of the images of one split."""

    images: int
    mean: NDArray[np.float64]  # (size, size, 3) in [0, 255]
    deviation: NDArray[np.float64]  # the standard deviation, likewise
    gray: int  # images whose channels differ by less than 4 of 255 on average


def measure_pixels(
    packed: PackedImages, split: str = "train", progress: Callable[[int, int], None] = lambda done, total: None
) -> PixelStatistics:
    """Measures the images of a split in one pass, a few megabytes at a time.

    Colour is measured in every second pixel of every second row. `progress` is called after each batch with (images
    measured, images of the split).

    Raises:
        ValueError: The split is empty.
    """
    start, stop = packed.split(split)
    if start == stop:
        raise ValueError(f"The {split} split has no images to measure.")
    shape = (packed.size, packed.size, 3)
    step = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // (packed.size * packed.size * 3)))
    total, squares, gray, done = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64), 0, 0
    for images in packed.batches(start, stop, step):
        total += images.sum(axis=0, dtype=np.uint32)
        squares += np.square(images, dtype=np.uint16).sum(axis=0, dtype=np.uint32)  # 255² is within 16 bits
        red, green, blue = np.moveaxis(images[:, ::2, ::2], 3, 0)
        chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)  # ptp is slower
        gray += int((chroma.mean(axis=(1, 2)) < _GRAY).sum())
        progress(done := done + len(images), stop - start)
    count = stop - start
    mean = total / count
    return PixelStatistics(count, mean, np.sqrt(np.maximum(squares / count - mean**2, 0)), gray)


def draw_mean(statistics: PixelStatistics) -> Image.Image:
    """Draws the mean image and the standard deviation of each pixel side by side, enlarged to 320 pixels."""
    spread = statistics.deviation.mean(axis=2)
    brightest = float(spread.max())
    shown = spread * (255 / brightest) if brightest else spread
    panels = [
        (statistics.mean, f"Mean of {statistics.images:,} training images"),
        (np.repeat(shown[:, :, None], 3, axis=2), f"Standard deviation, white: {brightest:.0f} of 255"),
    ]
    picture = Image.new("RGB", (2 * _SIDE + 3 * _GAP, _SIDE + 2 * _GAP + _CAPTION), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    for number, (pixels, caption) in enumerate(panels):
        left = _GAP + number * (_SIDE + _GAP)
        panel = Image.fromarray(np.rint(pixels).astype(np.uint8))
        picture.paste(panel.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), (left, _GAP))
        draw.text((left, _GAP + _SIDE + 6), caption, fill="#222222", font=font)
    return picture
