"""Fréchet distance between two sets of features, seen as two Gaussians (Heusel et al. 2017, equation 6).

The trace of the root is taken from a factor F of the first covariance, F F^T = C1: the eigenvalues of C1 C2 are those
of F^T C2 F, which is symmetric. F is Cholesky's where the covariance has full rank, and the centred features themselves
where they are fewer than their dimensions: either is many times faster than a root.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.metrics.intervals import STUDENT_9, around, bootstrap
from celeba_gan.evaluation.metrics.metric import Measured, Metric, Number

Features = NDArray[np.float32]
BOOTSTRAPPED = 512
"""Most dimensions whose distance is bootstrapped; above, a jackknife over ten parts costs a tenth."""
_BLOCK = 4096  # features at a time
_WIDTH = 512  # columns at a time


@dataclass(frozen=True)
class Gaussian:
    """Count, mean (d,) and covariance (d, d) of a set of features, float64; sets are added with `+`."""

    count: int
    mean: Tensor
    scatter: Tensor
    """Sum over the set of (x - mean)(x - mean)^T: of small numbers, so that nothing cancels."""

    @classmethod
    def of(cls, batches: Iterable[Features]) -> "Gaussian":
        """Reads a set batch by batch, (n, d) each, in constant memory. ValueError: there is no batch."""
        total: Gaussian | None = None
        for batch in batches:
            values = torch.from_numpy(np.asarray(batch, np.float64))
            mean = values.mean(dim=0)
            part = cls(len(values), mean, _scatter(values - mean))
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


@dataclass(frozen=True)
class Frechet:
    """A distance, its uncertainty, and its limit for infinite sets."""

    value: float
    of_infinite_sets: float
    """May be slightly negative."""
    influences: tuple[Tensor, Tensor]
    """By how much the distance grows with the weight of each feature of the first and of the second set: (n,), (m,)."""

    def standard_error(self, parts: int | None = None) -> float:
        """The standard deviation of `value` and of `of_infinite_sets`, by a jackknife to first order.

        `parts` disjoint parts of both sets, in their order, are left out in turn; None: every feature is a part, the
        infinitesimal jackknife (Jaeckel 1972), which is steadier than ten parts are. Distances without a part are
        estimated from the influences, not recomputed. Where `value` is mostly bias, as for two sets of one source, its
        true deviation is half to two thirds of this; that of the limit is not.
        """
        if parts is None:
            return math.sqrt(sum(float(values.var()) / len(values) for values in self.influences))
        pairs = [(values, torch.arange(len(values)) * parts // len(values)) for values in self.influences]
        means = [sum(float(values[part != out].mean()) for values, part in pairs) for out in range(parts)]
        without = torch.tensor(means, dtype=torch.float64)
        return math.sqrt((parts - 1) / parts * float((without - without.mean()).square().sum()))


def measure_frechet(first: Features, second: Features) -> Frechet:
    """The distance of (n, d) and (m, d), in random order, with its error and its limit; costs about four distances.

    The influence of a feature y of the second set is 2 (m2 - m1).(y - m2) + (y - m2)^T (I - T) (y - m2), where T is the
    optimal map from the second Gaussian to the first (Rippl et al. 2016); likewise for the first.

    The limit follows the bias, which is about a constant over the size (Chong and Forsyth 2020), from the distance of
    halves, averaged over two disjoint ones, to that of the whole sets, and on to 1 / size = 0. It is still too high
    where a half has hardly more features than dimensions that matter.

    Raises:
        ValueError: A set has fewer than four members.
    """
    if min(len(first), len(second)) < 4:
        raise ValueError(f"Halves of the sets need two features a side, there are {len(first)} and {len(second)}")
    halves = [[Gaussian.of(_blocks(values[start::2])) for start in (0, 1)] for values in (first, second)]
    value, *influences = _influences(first, halves[0][0] + halves[0][1], second, halves[1][0] + halves[1][1])
    of_halves = [_distance(first[i::2], halves[0][i], second[i::2], halves[1][i]) for i in (0, 1)]
    return Frechet(value, 2 * value - sum(of_halves) / 2, (influences[0], influences[1]))


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), at least 0; exact for covariances of any rank.

    Raises:
        ValueError: A set has fewer than two members.
    """
    if min(first.count, second.count) < 2:
        raise ValueError(f"The Fréchet distance needs two features a side, not {first.count} and {second.count}")
    factor = _factor(first.covariance)
    return _assemble(first, second, torch.linalg.eigvalsh(_congruent(factor, second.covariance)))


def _assemble(first: Gaussian, second: Gaussian, squares: Tensor) -> float:
    """The distance from the eigenvalues of C1 C2."""
    traces = (first.scatter.trace() / (first.count - 1)) + (second.scatter.trace() / (second.count - 1))
    distance = (first.mean - second.mean).square().sum() + traces - 2 * squares.clamp_min(0).sqrt().sum()
    return max(0.0, float(distance))


def _distance(first: Features, of_first: Gaussian, second: Features, of_second: Gaussian) -> float:
    """As `frechet_distance`, faster for sets with fewer features than dimensions."""
    if min(len(first), len(second)) > first.shape[1]:
        return frechet_distance(of_first, of_second)
    if len(second) < len(first):
        first, of_first, second, of_second = second, of_second, first, of_first
    between = _centred(first, of_first) @ _centred(second, of_second).T
    scale = (len(first) - 1) * (len(second) - 1)
    return _assemble(of_first, of_second, torch.linalg.eigvalsh(between @ between.T / scale))


def _influences(
    first: Features, of_first: Gaussian, second: Features, of_second: Gaussian
) -> tuple[float, Tensor, Tensor]:
    """The distance, and the influences of the features of both sets: (n,) and (m,)."""
    if len(second) < len(first):
        value, of_y, of_x = _influences(second, of_second, first, of_first)
        return value, of_x, of_y
    if len(first) > first.shape[1]:
        factor = _factor(of_first.covariance)
        product = _congruent(factor, of_second.covariance)
    else:
        factor = _centred(first, of_first).T / math.sqrt(len(first) - 1)
        product = factor.T @ of_second.covariance @ factor
    squares, vectors = torch.linalg.eigh(product)
    # Directions in which a set has no width carry nothing, and would be divided by 0.
    wide = squares > squares[-1] * len(squares) * torch.finfo(squares.dtype).eps
    roots, vectors = squares[wide].sqrt(), vectors[:, wide]
    mapped = factor @ vectors / roots.sqrt()  # T = mapped mapped^T takes the second Gaussian to the first
    back = of_second.covariance @ mapped / roots  # its inverse is back back^T, where the first Gaussian has any width
    step = of_first.mean - of_second.mean
    return (
        _assemble(of_first, of_second, squares),
        _influence(first, of_first, step, back),
        _influence(second, of_second, -step, mapped),
    )


def _influence(features: Features, gaussian: Gaussian, step: Tensor, root: Tensor) -> Tensor:
    """2 c.step + |c|^2 - |c root|^2 of every centred feature c: (n,). The last product is float32: it costs most."""
    parts = []
    for block in _blocks(features):
        centred = _centred(block, gaussian)
        mapped = (centred.float() @ root.float()).double()
        parts.append(2 * centred @ step + centred.square().sum(dim=1) - mapped.square().sum(dim=1))
    return torch.cat(parts)


def _factor(covariance: Tensor) -> Tensor:
    """F with F F^T = covariance, lower triangular: (d, d)."""
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        values, vectors = torch.linalg.eigh(covariance)
        factor = torch.linalg.qr((vectors * values.clamp_min(0).sqrt()).T, mode="r").R.T
    return factor


def _congruent(factor: Tensor, covariance: Tensor) -> Tensor:
    """The lower triangle of F^T C F, which is all that eigenvalues are taken from; F is lower triangular.

    In blocks, which skip F's zeros and the other triangle: half the time of the two products.
    """
    found = torch.zeros_like(covariance)
    for start in range(0, len(covariance), _WIDTH):
        columns = slice(start, start + _WIDTH)
        half = covariance[:, start:] @ factor[start:, columns]
        for below in range(start, len(covariance), _WIDTH):
            rows = slice(below, below + _WIDTH)
            found[rows, columns] = factor[below:, rows].T @ half[below:]
    return found


def _scatter(centred: Tensor) -> Tensor:
    """X^T X, of which one triangle is computed: (d, d)."""
    dimensions = centred.shape[1]
    found = centred.new_empty(dimensions, dimensions)
    for start in range(0, dimensions, _WIDTH):
        columns = slice(start, start + _WIDTH)
        product = centred[:, start:].T @ centred[:, columns]
        found[start:, columns] = product
        found[columns, start:] = product.T
    return found


def _blocks(features: Features) -> Iterator[Features]:
    """In parts, since float64 doubles the memory."""
    return (features[start : start + _BLOCK] for start in range(0, len(features), _BLOCK))


def _centred(features: Features, gaussian: Gaussian) -> Tensor:
    return torch.from_numpy(np.asarray(features, np.float64)) - gaussian.mean


def measure(real: Features, fake: Features, settings: EvaluateSettings) -> Measured:
    """`frechet`, and `frechet_infinity`, freed of the bias of a finite size; with intervals.

    The distance is bootstrapped up to 512 dimensions; above, and for the limit, a jackknife gives the interval.
    """
    found = measure_frechet(real, fake)
    values = {"frechet": found.value, "frechet_infinity": found.of_infinite_sets}
    if not settings.bootstrap:
        return Measured(values)

    def again(indices: Sequence[NDArray[np.int64]]) -> float:
        return frechet_distance(Gaussian.of([real[indices[0]]]), Gaussian.of([fake[indices[1]]]))

    sizes = (len(real), len(fake))
    intervals = {
        "frechet": bootstrap(again, sizes, found.value, settings.seed, settings.bootstrap)
        if real.shape[1] <= BOOTSTRAPPED
        else around(found.value, STUDENT_9 * found.standard_error(10), "jackknife over 10 parts"),
        "frechet_infinity": around(found.of_infinite_sets, 1.96 * found.standard_error(), "infinitesimal jackknife"),
    }
    return Measured(values, intervals)


FRECHET = Metric(
    needs="features",
    measure=measure,
    numbers=(
        Number("frechet", "Fréchet distance", "quality", "less",
                "Between Gaussians fitted to the features of samples and of reals; FID, with Inception’s features.",
                "distance", terminal=("Fréchet", "distance between features of samples and of real images")),
        Number("frechet_infinity", "Fréchet distance, extrapolated", "quality", "less",
                "The limit for infinitely many images: few images make the distance larger.", "distance"),
    ),
)  # fmt: skip
