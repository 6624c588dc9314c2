"""Pictures of samples beside reals, and beside the training images nearest to them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from celeba_gan.reporting.grids import ImageGrid, make_grid

Pixels = NDArray[np.uint8]
_COLUMNS = 8
_GAP = 12  # pixels
_HEAD = 26  # pixels


def draw_beside_reals(samples: Pixels, reals: Pixels, images: int, tile: int = 64) -> ImageGrid:
    """Lays out samples on the left and as many real images on the right, uint8 (n, size, size, 3) each.

    `images` have been seen in training; for `tile`, in pixels, see `make_grid`.
    """
    count = min(len(samples), len(reals))
    sides = [make_grid(some[:count], images, min(_COLUMNS, count), tile).pixels for some in (samples, reals)]
    return ImageGrid(images, _beside([("samples", sides[0]), ("real images, unseen in training", sides[1])]))


def draw_neighbours(found: tuple[Pixels, Pixels, Sequence[str]], images: int, by: str, tile: int = 64) -> ImageGrid:
    """Lays out each sample with the training images nearest to it; otherwise as `draw_beside_reals`.

    `found` has samples, uint8 (rows, size, size, 3), their neighbours, uint8 (rows, columns, size, size, 3), and the
    names of the rows; `by` says in words how they were found.
    """
    samples, neighbours, names = found
    left = make_grid(samples, images, 1, tile, names=names).pixels
    right = make_grid(neighbours.reshape(-1, *neighbours.shape[2:]), images, neighbours.shape[1], tile).pixels
    return ImageGrid(images, _beside([("sample", left), (f"nearest training images, by {by}", right)]))


def _beside(parts: Sequence[tuple[str, Pixels]]) -> Pixels:
    """Pictures of one height next to each other, each with its title above."""
    columns: list[Pixels] = []
    for title, pixels in parts:
        if columns:
            columns.append(np.full((columns[0].shape[0], _GAP, 3), 255, np.uint8))
        columns.append(np.concatenate([_title(title, pixels.shape[1]), pixels]))
    return np.concatenate(columns, axis=1)


def _title(text: str, width: int) -> Pixels:
    picture = Image.new("RGB", (width, _HEAD), "white")
    font = ImageFont.load_default(14)
    ImageDraw.Draw(picture).text((4, _HEAD // 2), text, fill="#222222", font=font, anchor="lm")
    return np.asarray(picture)
