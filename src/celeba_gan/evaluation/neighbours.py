"""Samples and the training images that resemble them most, to recognise copies by eye."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.image_sets import Extractor, RealSet, Samples
from celeba_gan.evaluation.metrics.manifolds import nearest
from celeba_gan.foundation.pixels import Images

FIRST, NEAREST, SHOWN = 5, 5, 7


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
    """Of the rows: `first` or `nearest`."""


def find_neighbours(samples: Samples, train: RealSet, extractor: Extractor) -> Neighbours:
    """Finds the training images nearest to the first samples, and to those of the kept ones that are nearest to any."""
    sets = (train, train.mirrored())
    kept = samples.described[extractor.name].features[: len(samples.images)]
    columns = min(SHOWN, len(train.indices))
    found = [nearest(kept, one.describe(extractor).features, columns) for one in sets]
    distances, indices = (np.concatenate(pair, axis=1) for pair in zip(*found, strict=True))
    order = np.argsort(distances, axis=1, kind="stable")[:, :columns]
    distances = np.take_along_axis(distances, order, axis=1)
    closest = [row for row in np.argsort(distances[:, 0], kind="stable") if row >= FIRST][:NEAREST]
    rows = [*range(min(FIRST, len(kept))), *closest]
    shown = [
        [sets[place // columns].look(train.indices[indices[row, place : place + 1]])[0] for place in order[row]]
        for row in rows
    ]
    names = ["first"] * (len(rows) - len(closest)) + ["nearest"] * len(closest)
    return Neighbours(samples.images[rows], np.array(shown), distances[rows], names)
