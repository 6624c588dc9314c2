"""How much of two sets of features lies within each other's reach.

Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020). Every feature of a set has a
ball, whose radius is the distance to its k-th nearest neighbour in the same set.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Features = NDArray[np.float32]
_BLOCK = 1024
_EQUAL = 1e-12
"""Squared distances below this share of both squared lengths are those of equal features, each rounded its own way."""


@dataclass(frozen=True)
class Manifolds:
    """Shares of 1, but density, which has no upper end."""

    precision: float
    """Samples within the ball of any real: how good they are."""
    recall: float
    """Reals within the ball of any sample: how varied the samples are."""
    density: float
    """Balls of reals that a sample lies in, over k: 1 for samples like reals, and not fooled by one outlier."""
    coverage: float
    """Reals with a sample in their own ball."""


def compare_manifolds(real: Features, fake: Features, neighbours: int = 5) -> Manifolds:
    """All four, at k = `neighbours`.

    Args:
        real: (n, d).
        fake: (m, d).
        neighbours: k; the papers have 3 and 5.

    Raises:
        ValueError: A set has k members or fewer.
    """
    if min(len(real), len(fake)) <= neighbours:
        raise ValueError(f"Neighbours of {neighbours} need more features a side than {len(real)} and {len(fake)}")
    reach_of_reals, reach_of_fakes = _radii(real, neighbours), _radii(fake, neighbours)
    balls = torch.zeros(len(fake))  # balls of reals that each sample lies in
    recalled, covered = [], []
    for rows, distances in _distances(real, fake):
        balls += (distances <= reach_of_reals[rows, None]).sum(dim=0)
        recalled.append((distances <= reach_of_fakes).any(dim=1))
        covered.append(distances.amin(dim=1) <= reach_of_reals[rows])
    return Manifolds(
        precision=float((balls > 0).float().mean()),
        recall=float(torch.cat(recalled).float().mean()),
        density=float(balls.mean()) / neighbours,
        coverage=float(torch.cat(covered).float().mean()),
    )


def nearest(queries: Features, among: Features, count: int = 1) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The nearest neighbours of each query, nearest first.

    Args:
        queries: (n, d).
        among: (m, d).
        count: How many.

    Returns:
        Distances and indices into `among`, (n, count) each.
    """
    parts = [distances.topk(count, dim=1, largest=False) for _, distances in _distances(queries, among)]
    distances, indices = (torch.cat(columns) for columns in zip(*parts, strict=True))
    return distances.float().numpy(), indices.numpy()


def _radii(features: Features, neighbours: int) -> Tensor:
    """The distance of each feature to its k-th nearest other one: (n,)."""
    # the (k + 1)-th smallest: each feature is its own nearest
    parts = [distances.kthvalue(neighbours + 1, dim=1).values for _, distances in _distances(features, features)]
    return torch.cat(parts)


def _distances(first: Features, second: Features) -> Iterator[tuple[slice, Tensor]]:
    """Distances of some features at a time to all of a second set: their places, and float64 (some, m).

    Through a matrix product in float64, which is many times faster than differences. What rounding leaves between equal
    features is put to 0.
    """
    columns = torch.from_numpy(np.array(second, np.float64))
    squares = columns.square().sum(dim=1)
    for start in range(0, len(first), _BLOCK):
        rows = torch.from_numpy(np.array(first[start : start + _BLOCK], np.float64))
        sums = rows.square().sum(dim=1, keepdim=True) + squares
        squared = torch.addmm(sums, rows, columns.T, alpha=-2)
        yield slice(start, start + len(rows)), squared.masked_fill_(squared < _EQUAL * sums, 0).sqrt_()
