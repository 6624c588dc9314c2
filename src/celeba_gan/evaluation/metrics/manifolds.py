"""How much of two sets of features lies within each other's reach.

Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020). Every feature of a set has a
ball, whose radius is the distance to its k-th nearest neighbour in the same set.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.metrics.intervals import share_interval
from celeba_gan.evaluation.metrics.metric import Measured, Metric, Number

Features = NDArray[np.float32]
_BLOCK = 512
_EQUAL = 1e-12
"""Squared distances below this share of both squared lengths are rounding errors between equal features."""


@dataclass(frozen=True)
class Manifolds:
    """Shares of 1, but density, which has no upper end."""

    precision: float
    """Samples within the ball of any real: how good they are."""
    recall: float
    """Reals within the ball of any sample: how varied the samples are."""
    density: float
    """Balls of reals that a sample lies in, over k: 1 for samples like reals; one outlier hardly changes it."""
    coverage: float
    """Reals with a sample in their own ball."""


def compare_manifolds(real: Features, fake: Features, neighbours: int = 5) -> Manifolds:
    """All four, of features (n, d) and (m, d), at k = `neighbours`; the papers use 3 and 5.

    Raises:
        ValueError: A set has k members or fewer.
    """
    if min(len(real), len(fake)) <= neighbours:
        raise ValueError(f"Neighbours of {neighbours} need more features a side than {len(real)} and {len(fake)}")
    reach_of_reals, reach_of_fakes = _radii(real, neighbours), _radii(fake, neighbours)
    balls = torch.zeros(len(fake))  # balls of reals that each sample lies in
    recalled, covered = [], []
    for block in _blocks(real, fake):
        distances = block.squares.masked_fill_(block.squares < _EQUAL * (block.first + block.second), 0)
        reach = reach_of_reals[block.rows]
        balls += (distances <= reach[:, None]).sum(dim=0)
        recalled.append((distances <= reach_of_fakes).any(dim=1))
        covered.append(distances.amin(dim=1) <= reach)
    return Manifolds(
        precision=float((balls > 0).float().mean()),
        recall=float(torch.cat(recalled).float().mean()),
        density=float(balls.mean()) / neighbours,
        coverage=float(torch.cat(covered).float().mean()),
    )


def nearest(queries: Features, among: Features, count: int = 1) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The `count` features among (m, d) nearest to each of (n, d), nearest first: distances and indices, (n, count)."""
    parts = []
    for block in _blocks(queries, among):
        # min is several times as fast as topk
        found = block.squares.topk(count, largest=False) if count > 1 else block.squares.min(dim=1, keepdim=True)
        parts.append((block.exact(found.values, found.indices).sqrt(), found.indices))
    distances, indices = (torch.cat(columns) for columns in zip(*parts, strict=True))
    return distances.float().numpy(), indices.numpy()


def _radii(features: Features, neighbours: int) -> Tensor:
    """The squared distance of each feature to its k-th nearest other one: (n,)."""
    parts = []
    for block in _blocks(features, features):
        found = block.squares.kthvalue(neighbours + 1, keepdim=True)  # each feature is its own nearest
        parts.append(block.exact(found.values, found.indices)[:, 0])
    return torch.cat(parts)


@dataclass(frozen=True)
class _Block:
    """Squared distances of some features to all of a second set.

    By a matrix product in float64, many times faster than differences. Rounding leaves a small value, perhaps
    negative, between equal features: `exact` sets it to 0.
    """

    rows: slice
    squares: Tensor
    """float64 (some, m)"""
    first: Tensor
    """Squared lengths, (some, 1)."""
    second: Tensor
    """Squared lengths, (m,)."""

    def exact(self, values: Tensor, columns: Tensor) -> Tensor:
        """Some of the squares, (some, n), at these columns."""
        return values.masked_fill(values < _EQUAL * (self.first + self.second[columns]), 0)


def _blocks(first: Features, second: Features) -> Iterator[_Block]:
    columns = torch.from_numpy(np.array(second, np.float64))
    lengths = columns.square().sum(dim=1)
    for start in range(0, len(first), _BLOCK):
        rows = torch.from_numpy(np.array(first[start : start + _BLOCK], np.float64))
        of_rows = rows.square().sum(dim=1, keepdim=True)
        squares = torch.addmm(lengths, rows, columns.T, alpha=-2).add_(of_rows)
        yield _Block(slice(start, start + len(rows)), squares, of_rows, lengths)


def measure(real: Features, fake: Features, settings: EvaluateSettings) -> Measured:
    """`precision`, `recall`, `density` and `coverage`; with intervals of the shares, for these very balls."""
    values = asdict(compare_manifolds(real, fake, settings.neighbours))
    counts = {"precision": len(fake), "recall": len(real), "coverage": len(real)}
    return Measured(values, {name: share_interval(values[name], count) for name, count in counts.items()})


MANIFOLDS = Metric(
    needs="features",
    measure=measure,
    numbers=(
        Number("precision", "Precision", "quality", "more",
                "Samples that lie among real images.", "share",
                terminal=("Precision", "share of samples within the reach of real images")),
        Number("density", "Density", "quality", None,
                "How densely real images surround a sample; 1 for samples like reals. It also rises where samples "
                "keep to what is common.", "ratio", target="near 1", least_end=1.25),
        Number("recall", "Recall", "variety", "more",
                "Real images that lie among samples.", "share",
                terminal=("Recall", "share of real images within the reach of samples")),
        Number("coverage", "Coverage", "variety", "more",
                "Real images with a sample nearby.", "share"),
    ),
)  # fmt: skip
