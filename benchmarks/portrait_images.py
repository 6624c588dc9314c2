"""Drawn portraits straight in memory: in the place of packed images, where there is no dataset and no Kedro."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celeba_gan.images.workers import map_in_processes
from celeba_gan.portraits import DRAWING_VERSION, draw, sample_portrait
from celeba_gan.sources.tables.attribute_names import ATTRIBUTES

CROP = 178
CHUNK = 100

Drawn = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class PortraitImages:
    """Packed images as training sees them, and their forty attributes; the last of them are valid, then test."""

    names = ATTRIBUTES

    def __init__(self, folder: Path) -> None:
        """Reads what `save_portraits` has written."""
        self.pixels = np.load(folder / "pixels.npy")
        self.attributes = np.load(folder / "attributes.npy")
        self.size = self.pixels.shape[1]
        self.held_out = len(self.pixels) // 8
        self.digest = f"portraits-{DRAWING_VERSION}-{self.size}-{len(self.pixels)}"

    def split(self, name: str) -> tuple[int, int]:
        """An eighth each for valid and test."""
        valid, test = len(self.pixels) - 2 * self.held_out, len(self.pixels) - self.held_out
        return {"train": (0, valid), "valid": (valid, test), "test": (test, len(self.pixels))}[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Copies of some."""
        images: NDArray[np.uint8] = self.pixels[indices]
        return images


def save_portraits(folder: Path, count: int, size: int, workers: int) -> None:
    """Draws `count` portraits of a seed in processes, crops and resizes them as packing does, and writes them."""
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    parts = list(map_in_processes(draw_some, (size,), chunks, workers))
    for name, arrays in zip(("pixels", "attributes"), zip(*parts, strict=True), strict=True):
        np.save(folder / f"{name}.npy", np.concatenate(arrays))


def draw_some(size: int, indices: range) -> Drawn:
    """Pixels, uint8 (n, size, size, 3), and attributes, zeros and ones (n, 40)."""
    pictures, attributes = [], []
    for index in indices:
        portrait = sample_portrait(0, index)
        picture = draw(portrait)
        left, top = (picture.width - CROP) // 2, (picture.height - CROP) // 2
        square = picture.crop((left, top, left + CROP, top + CROP))
        pictures.append(np.asarray(square.resize((size, size), Image.Resampling.BILINEAR)))
        attributes.append(list(portrait.attributes().values()))
    return np.stack(pictures), np.array(attributes, np.uint8)
