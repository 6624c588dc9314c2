"""Photographs beside the nearest images that a generator makes."""

from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from celeba_gan.gan.sampling.control_documents import Projections
from celeba_gan.reporting.generation.layout import draw_rows
from celeba_gan.reporting.grids import ImageGrid

_LONGEST = 28  # characters of a name


def draw_projections(
    projections: Projections, photographs: NDArray[np.uint8], found: NDArray[np.uint8], tile: int = 96
) -> ImageGrid:
    """Draws a row for each photograph: it, the nearest image found, their difference, and the errors in numbers.

    Photographs and images are uint8 (n, size, size, 3), in the document's order. A difference is shown as twice its
    absolute value in each colour: black where the two agree. `tile`, in pixels, is for enlarging.
    """
    if not projections.photographs:
        return ImageGrid.nothing(projections.images)
    differences = (2 * np.abs(photographs.astype(np.int16) - found)).clip(0, 255).astype(np.uint8)
    rows = projections.photographs
    right = [
        [
            f"error {one.error.rmse:.1f} grey levels",
            f"best random latent {one.best_random.rmse:.1f}",
            f"mean sample {one.mean_sample.rmse:.1f}",
        ]
        for one in rows
    ]
    pixels = draw_rows(
        np.stack([photographs, found, differences], axis=1),
        ["photograph", "projection", "difference x 2"],
        [[_shorten(PurePath(one.name).name)] for one in rows],
        right,
        ["The nearest images in the generator's latent space. Errors: root mean square of the difference, of 255."],
        tile,
    )
    return ImageGrid(projections.images, pixels)


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 8]}...{name[-5:]}"
