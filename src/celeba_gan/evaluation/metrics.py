"""The metrics by name: each a small function of two sets of features, or of two sets of images.

A new one is a function and a line in `FEATURE_METRICS` or `IMAGE_METRICS`. A function gets the reals and the samples,
in random order, and gives numbers by name; where it can say how sure they are, it gives intervals under these names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.frechet import Gaussian, frechet_distance, frechet_of_infinite_sets
from celeba_gan.evaluation.intervals import Interval, bootstrap, jackknife
from celeba_gan.evaluation.kernel import kernel_distance
from celeba_gan.evaluation.manifolds import compare_manifolds
from celeba_gan.evaluation.ms_ssim import similarity_within
from celeba_gan.evaluation.swd import sliced_wasserstein

Features = NDArray[np.float32]
Images = NDArray[np.uint8]

BOOTSTRAPPED = 512
"""Most dimensions whose Fréchet distance is bootstrapped; above, a jackknife over ten parts costs a tenth."""
LEAST = 20
"""Images a side, below which distances between features are chance alone."""


@dataclass(frozen=True)
class Measured:
    """Numbers by name, and intervals of some of them."""

    values: dict[str, float]
    intervals: dict[str, Interval] = field(default_factory=dict)

    def named(self, suffix: str) -> "Measured":
        """The same, with a suffix on every name."""
        return Measured(
            {f"{name}_{suffix}": value for name, value in self.values.items()},
            {f"{name}_{suffix}": interval for name, interval in self.intervals.items()},
        )

    def __or__(self, other: "Measured") -> "Measured":
        return Measured(self.values | other.values, self.intervals | other.intervals)


def frechet(real: Features, fake: Features, settings: EvaluateSettings) -> Measured:
    """`frechet`, with an interval, and `frechet_infinity`, the distance freed of the bias of a finite size."""

    def measure(indices: Sequence[NDArray[np.int64]]) -> float:
        return frechet_distance(Gaussian.of([real[indices[0]]]), Gaussian.of([fake[indices[1]]]))

    sizes = (len(real), len(fake))
    value = measure([np.arange(size) for size in sizes])
    interval = (
        bootstrap(measure, sizes, value, settings.seed)
        if real.shape[1] <= BOOTSTRAPPED
        else jackknife(measure, sizes, value)
    )
    without_end, _ = frechet_of_infinite_sets(real, fake, settings.seed)
    return Measured({"frechet": value, "frechet_infinity": without_end}, {"frechet": interval})


def kernel(real: Features, fake: Features, settings: EvaluateSettings) -> Measured:
    """`kernel_distance`, unbiased, times 1000, with an interval."""
    distance = kernel_distance(real, fake)
    reach = 2.262 * distance.standard_error  # Student's t with nine degrees of freedom
    interval = Interval(distance.value - reach, distance.value + reach, "jackknife over 10 parts")
    return Measured({"kernel_distance": distance.value}, {"kernel_distance": interval})


def manifolds(real: Features, fake: Features, settings: EvaluateSettings) -> Measured:
    """`precision`, `recall`, `density` and `coverage`; of the shares, intervals for these very balls (Wilson 1927)."""
    found = compare_manifolds(real, fake, settings.neighbours)
    values = {
        "precision": found.precision,
        "recall": found.recall,
        "density": found.density,
        "coverage": found.coverage,
    }
    counts = {"precision": len(fake), "recall": len(real), "coverage": len(real)}
    return Measured(values, {name: _share(values[name], count) for name, count in counts.items()})


def wasserstein(real: Images, fake: Images, settings: EvaluateSettings) -> Measured:
    """`swd` and its scales."""
    count = min(len(real), len(fake))
    return Measured(
        sliced_wasserstein(
            real[:count],
            fake[:count],
            projections=settings.swd_projections,
            patches=settings.swd_patches,
            seed=settings.seed,
        )
    )


def ms_ssim(real: Images, fake: Images, settings: EvaluateSettings) -> Measured:
    """`ms_ssim` among the samples; its floor is that among reals."""
    return Measured({"ms_ssim": similarity_within(fake, settings.ms_ssim_pairs, settings.seed)})


FEATURE_METRICS: dict[str, Callable[[Features, Features, EvaluateSettings], Measured]] = {
    "frechet": frechet,
    "kernel": kernel,
    "manifolds": manifolds,
}
IMAGE_METRICS: dict[str, Callable[[Images, Images, EvaluateSettings], Measured]] = {
    "swd": wasserstein,
    "ms_ssim": ms_ssim,
}


def _share(share: float, count: int) -> Interval:
    """Wilson's interval for a share of `count`."""
    z = 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return Interval(float(middle - reach), float(middle + reach), "Wilson")
