"""Kernel distance between two sets of features: the squared maximum mean discrepancy (Bińkowski et al. 2018, KID)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.metrics.intervals import STUDENT_9, around
from celeba_gan.evaluation.metrics.metric import Measured, Metric, Number

Features = NDArray[np.float32]
SCALE = 1000.0  # the distance is customarily printed times 1000
_BLOCK = 2048


@dataclass(frozen=True)
class KernelDistance:
    """The unbiased estimate, which may be slightly negative, times 1000, and its standard error."""

    value: float
    standard_error: float


def kernel_distance(first: Features, second: Features, groups: int = 10) -> KernelDistance:
    """E k(x, x') + E k(y, y') - 2 E k(x, y) over all pairs of different features, k(a, b) = (a.b / d + 1)^3.

    Features are (n, d) and (m, d), in random order. The standard error is that of a jackknife over disjoint groups:
    the i-th part of both sets is left out in turn.

    Raises:
        ValueError: A set has fewer than two features a group.
    """
    if min(len(first), len(second)) < 2 * groups:
        raise ValueError(f"The kernel distance needs {2 * groups} features a side, not {len(first)} and {len(second)}")
    x, y = (torch.from_numpy(np.asarray(features, np.float64)) for features in (first, second))
    of_x, of_y = (torch.arange(len(features)) * groups // len(features) for features in (x, y))
    # Sums of the kernel between every two groups: whatever is left out, the rest is a sum of these.
    xx, yy, xy = (_group_sums(*pair, groups) for pair in ((x, of_x, x, of_x), (y, of_y, y, of_y), (x, of_x, y, of_y)))
    own_x, own_y = (_own(features, of, groups) for features, of in ((x, of_x), (y, of_y)))
    sizes_x, sizes_y = (torch.bincount(of, minlength=groups).double() for of in (of_x, of_y))

    def estimate(kept: Tensor) -> float:
        n, m = float(sizes_x[kept].sum()), float(sizes_y[kept].sum())
        within_x = (xx[kept][:, kept].sum() - own_x[kept].sum()) / (n * (n - 1))
        within_y = (yy[kept][:, kept].sum() - own_y[kept].sum()) / (m * (m - 1))
        return float(within_x + within_y - 2 * xy[kept][:, kept].sum() / (n * m)) * SCALE

    everything = torch.arange(groups)
    without = np.array([estimate(everything[everything != out]) for out in range(groups)])
    error = np.sqrt((groups - 1) / groups * ((without - without.mean()) ** 2).sum())
    return KernelDistance(estimate(everything), float(error))


def _own(features: Tensor, group: Tensor, groups: int) -> Tensor:
    """The sum of k(a, a) over each group: (groups,)."""
    own = (features.square().sum(dim=1) / features.shape[1] + 1) ** 3
    return torch.zeros(groups, dtype=own.dtype).index_add_(0, group, own)


def _group_sums(first: Tensor, of_first: Tensor, second: Tensor, of_second: Tensor, groups: int) -> Tensor:
    """Sums of the kernel over all pairs of members of two groups: (groups, groups). Blockwise, for memory."""
    sums = torch.zeros(groups, groups, dtype=first.dtype)
    for start in range(0, len(first), _BLOCK):
        rows = slice(start, start + _BLOCK)
        by_column = torch.zeros(len(first[rows]), groups, dtype=first.dtype)
        for begin in range(0, len(second), _BLOCK):
            columns = slice(begin, begin + _BLOCK)
            kernel = (first[rows] @ second[columns].T / first.shape[1] + 1) ** 3
            by_column.index_add_(1, of_second[columns], kernel)
        sums.index_add_(0, of_first[rows], by_column)
    return sums


def measure(real: Features, fake: Features, settings: EvaluateSettings) -> Measured:
    """`kernel_distance`, unbiased, times 1000, with an interval."""
    distance = kernel_distance(real, fake)
    interval = around(distance.value, STUDENT_9 * distance.standard_error, "jackknife over 10 parts")
    return Measured({"kernel_distance": distance.value}, {"kernel_distance": interval})


KERNEL = Metric(
    needs="features",
    measure=measure,
    numbers=(
        Number("kernel_distance", "Kernel distance × 1000", "quality", "less",
                "Unbiased squared distance between the two sets of features (KID); may be slightly below 0 for equal "
                "sets.", "distance"),
    ),
)  # fmt: skip
