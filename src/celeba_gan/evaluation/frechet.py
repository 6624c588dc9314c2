"""Fréchet distance between two sets of features, seen as two Gaussians (Heusel et al. 2017, equation 6)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Gaussian:
    """Count, mean (d,) and covariance (d, d) of a set of features, float64; sets are added with `+`."""

    count: int
    mean: Tensor
    scatter: Tensor
    """Sum over the set of (x - mean)(x - mean)^T: of small numbers, so that nothing cancels."""

    @classmethod
    def of(cls, batches: Iterable[Features]) -> "Gaussian":
        """Reads a set batch by batch, (n, d) each; memory does not grow with their number.

        Raises:
            ValueError: There is no batch.
        """
        total: Gaussian | None = None
        for batch in batches:
            values = torch.from_numpy(np.asarray(batch, np.float64))
            mean = values.mean(dim=0)
            centred = values - mean
            part = cls(len(values), mean, centred.T @ centred)
            total = part if total is None else total + part
        if total is None:
            raise ValueError("The Fréchet distance needs features, and got none")
        return total

    def __add__(self, other: "Gaussian") -> "Gaussian":
        """The union of both sets (Chan et al. 1979): equal to reading them together, up to rounding."""
        count = self.count + other.count
        step = other.mean - self.mean
        between = torch.outer(step, step) * (self.count * other.count / count)
        return Gaussian(count, self.mean + step * (other.count / count), self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Tensor:
        """Unbiased, (d, d)."""
        return self.scatter / (self.count - 1)


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)); 0 for equal ones, and never below.

    The trace of the root is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric: no
    complex numbers appear, and no offset is added where the covariances have no full rank.

    Raises:
        ValueError: A set has fewer than two members.
    """
    if min(first.count, second.count) < 2:
        raise ValueError(f"The Fréchet distance needs two features a side, not {first.count} and {second.count}")
    values, vectors = torch.linalg.eigh(first.covariance)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    product = root @ second.covariance @ root
    shared = torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()
    traces = first.covariance.trace() + second.covariance.trace()
    distance = (first.mean - second.mean).square().sum() + traces - 2 * shared
    return max(0.0, float(distance))


def frechet_of_infinite_sets(first: Features, second: Features, seed: int, sizes: int = 8) -> tuple[float, float]:
    """What the distance would be for sets without end (Chong and Forsyth 2020), and the bias of this size.

    The distance of finite sets is too large by about a constant over their size. It is measured on subsets of both, of
    sizes from a fifth up to all, and its line over 1 / size is followed to 0.

    Args:
        first: (n, d).
        second: (m, d).
        seed: Decides the subsets.
        sizes: How many of them.

    Returns:
        The distance at 1 / size = 0, which may be slightly negative, and what it is less than that of the whole sets.
    """
    most = min(len(first), len(second))
    counts = np.unique(np.linspace(max(2, most / 5), most, sizes).astype(int))
    if len(counts) < 2:
        raise ValueError(f"Sets of {most} are too small to extrapolate from")
    random = np.random.default_rng(seed)
    distances = [
        frechet_distance(
            Gaussian.of([first[random.permutation(len(first))[:count]]]),
            Gaussian.of([second[random.permutation(len(second))[:count]]]),
        )
        for count in counts
    ]
    slope, start = np.polyfit(1 / counts, distances, 1)
    return float(start), float(slope / most)
