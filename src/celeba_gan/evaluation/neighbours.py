"""Samples and the training images that resemble them most, to recognise copies by eye."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from celeba_gan.evaluation.image_sets import Extractor, RealSet, Samples
from celeba_gan.evaluation.metrics.manifolds import nearest
from celeba_gan.foundation.pixels import Images

FIRST, NEAREST, SHOWN = 5, 5, 7
SIDE = 16
"""Of the small pixels, where there are no features."""


@dataclass(frozen=True)
class Neighbours:
    """Rows of a picture."""

    samples: Images
    """uint8 (rows, size, size, 3): the first samples, then those nearest to training images."""
    neighbours: Images
    """uint8 (rows, columns, size, size, 3): training images, mirrored if that is nearer, nearest first."""
    distances: NDArray[np.float32]
    """Between them, (rows, columns)."""
    names: list[str]
    """Of the rows: `sample 1` and so on, then `closest 1` and so on."""


def find_neighbours(samples: Samples, train: RealSet, extractor: Extractor | None) -> Neighbours:
    """Finds the training images nearest to the first samples, and to those of the kept ones that are nearest to any.

    Nearest in an extractor's features, or, without one, by `small_pixels`.
    """

    def describe(some: RealSet) -> NDArray[np.float32]:
        if extractor is not None:
            return some.describe(extractor).features
        return np.concatenate([small_pixels(images) for _, images in some.batches("Small pixels of")])

    sets = (train, train.mirrored())
    kept = (
        small_pixels(samples.images)
        if extractor is None
        else samples.described[extractor.name].features[: len(samples.images)]
    )
    columns = min(SHOWN, len(train.indices))
    found = [nearest(kept, describe(one), columns) for one in sets]
    distances, indices = (np.concatenate(pair, axis=1) for pair in zip(*found, strict=True))
    order = np.argsort(distances, axis=1, kind="stable")[:, :columns]
    distances = np.take_along_axis(distances, order, axis=1)
    closest = [row for row in np.argsort(distances[:, 0], kind="stable") if row >= FIRST][:NEAREST]
    first = range(min(FIRST, len(kept)))
    rows = [*first, *closest]
    shown = [
        [sets[place // columns].look(train.indices[indices[row, place : place + 1]])[0] for place in order[row]]
        for row in rows
    ]
    names = [
        f"{name} {place + 1}" for name, some in (("sample", first), ("closest", closest)) for place in range(len(some))
    ]
    return Neighbours(samples.images[rows], np.array(shown), distances[rows], names)


def small_pixels(images: Images) -> NDArray[np.float32]:
    """Mean colours in a grid of 16x16 cells: images uint8 (n, size, size, 3) to (n, 768), in [0, 255].

    They find plain copies, for the eye. Numbers such as `memorised` would mislead: a blurred or uniform image is nearer
    to every training image than real images are to each other, so samples of a poor generator would count as copies.
    """
    parts = [torch.from_numpy(images[start : start + 256]) for start in range(0, len(images), 256)]
    means = [adaptive_avg_pool2d(part.permute(0, 3, 1, 2).float(), SIDE).flatten(1) for part in parts]
    return torch.cat(means).numpy()
