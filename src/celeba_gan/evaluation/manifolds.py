"""How much of two sets of features lies within each other's reach.

Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020). Every feature of a set has a
ball, whose radius is the distance to its k-th nearest neighbour in the same set.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Features = NDArray[np.float32]
_BLOCK = 1024


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
    reals, fakes = (torch.from_numpy(np.asarray(features, np.float32)) for features in (real, fake))
    reach_of_reals, reach_of_fakes = _radii(reals, neighbours), _radii(fakes, neighbours)
    balls = torch.zeros(len(fakes))  # balls of reals that each sample lies in
    recalled, covered = [], []
    for start in range(0, len(reals), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distances = _distances(reals[rows], fakes)
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
    first, second = (torch.from_numpy(np.asarray(features, np.float32)) for features in (queries, among))
    parts = [
        _distances(first[start : start + _BLOCK], second).topk(count, dim=1, largest=False)
        for start in range(0, len(first), _BLOCK)
    ]
    distances, indices = (torch.cat(columns) for columns in zip(*parts, strict=True))
    return distances.numpy(), indices.numpy()


def _radii(features: Tensor, neighbours: int) -> Tensor:
    """The distance of each feature to its k-th nearest other one: (n,)."""
    parts = [
        # the (k + 1)-th smallest: each feature is its own nearest
        _distances(features[start : start + _BLOCK], features).kthvalue(neighbours + 1, dim=1).values
        for start in range(0, len(features), _BLOCK)
    ]
    return torch.cat(parts)


def _distances(first: Tensor, second: Tensor) -> Tensor:
    # Through differences, not through a matrix product: equal features are at distance 0 exactly.
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
