"""The metrics by name: each a small function of two sets of features, or of two sets of images.

A new one is a function and a line in `FEATURE_METRICS` or `IMAGE_METRICS`. A function gets the reals and the samples,
in random order, and gives numbers by name; where it can say how sure they are, it gives intervals under these names.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.metrics.frechet import Gaussian, frechet_distance, measure_frechet
from celeba_gan.evaluation.metrics.inception_score import inception_score
from celeba_gan.evaluation.metrics.intervals import Interval, around, bootstrap
from celeba_gan.evaluation.metrics.kernel import kernel_distance
from celeba_gan.evaluation.metrics.manifolds import compare_manifolds
from celeba_gan.evaluation.metrics.ms_ssim import WINDOW, similarity_within
from celeba_gan.evaluation.metrics.swd import sliced_wasserstein

Features = NDArray[np.float32]
Images = NDArray[np.uint8]

BOOTSTRAPPED = 512
"""Most dimensions whose Fréchet distance is bootstrapped; above, a jackknife over ten parts costs a tenth."""
SHARE = "Wilson"
"""The method of intervals of shares: they hold the balls, or the judge, that were counted with for given."""
STUDENT_9 = 2.262
"""The 0.975 quantile of Student's t with nine degrees of freedom, for ten parts."""
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
        if twice := self.values.keys() & other.values.keys():
            raise ValueError(
                f"Two numbers would be called {', '.join(sorted(twice))}; give another evaluate.features.name"
            )
        return Measured(self.values | other.values, self.intervals | other.intervals)


def frechet(real: Features, fake: Features, settings: EvaluateSettings) -> Measured:
    """`frechet`, and `frechet_infinity`, the distance freed of the bias of a finite size; with intervals.

    The distance is bootstrapped up to 512 dimensions; above, and for the limit, a jackknife gives the interval.
    """
    found = measure_frechet(real, fake)
    values = {"frechet": found.value, "frechet_infinity": found.of_infinite_sets}
    if not settings.bootstrap:
        return Measured(values)

    def measure(indices: Sequence[NDArray[np.int64]]) -> float:
        return frechet_distance(Gaussian.of([real[indices[0]]]), Gaussian.of([fake[indices[1]]]))

    sizes = (len(real), len(fake))
    intervals = {
        "frechet": bootstrap(measure, sizes, found.value, settings.seed, settings.bootstrap)
        if real.shape[1] <= BOOTSTRAPPED
        else around(found.value, STUDENT_9 * found.standard_error(10), "jackknife over 10 parts"),
        "frechet_infinity": around(found.of_infinite_sets, 1.96 * found.standard_error(), "infinitesimal jackknife"),
    }
    return Measured(values, intervals)


def kernel(real: Features, fake: Features, settings: EvaluateSettings) -> Measured:
    """`kernel_distance`, unbiased, times 1000, with an interval."""
    distance = kernel_distance(real, fake)
    reach = STUDENT_9 * distance.standard_error
    interval = around(distance.value, reach, "jackknife over 10 parts")
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
    return Measured(values, {name: share_interval(values[name], count) for name, count in counts.items()})


def wasserstein(real: Images, fake: Images, settings: EvaluateSettings) -> Measured:
    """`swd` and its scales, with an interval from ten disjoint parts of both sets."""
    count = min(len(real), len(fake), settings.swd_images)
    options = {"projections": settings.swd_projections, "patches": settings.swd_patches, "seed": settings.seed}
    values = sliced_wasserstein(real[:count], fake[:count], **options)
    if count < 10 * LEAST or not settings.bootstrap:
        return Measured(values)
    ends = np.linspace(0, count, 11).astype(int)
    parts = [slice(start, stop) for start, stop in itertools.pairwise(ends)]
    options["projections"] = -(-settings.swd_projections // 4)  # enough for a spread, at a quarter of the time
    of_parts = [sliced_wasserstein(real[part], fake[part], **options) for part in parts]
    intervals = {}
    for name, value in values.items():
        # A part's distance is larger than the whole's, but its spread is that of the whole, times the root of ten.
        reach = STUDENT_9 * float(np.std([one[name] for one in of_parts], ddof=1)) / np.sqrt(10)
        intervals[name] = around(value, reach, "ten disjoint parts")
    return Measured(values, intervals)


def ms_ssim(real: Images, fake: Images, settings: EvaluateSettings) -> Measured:
    """`ms_ssim` among the samples, if its window fits into them; its floor is that among reals."""
    if fake.shape[1] < WINDOW:
        return Measured({})
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

LESS_IS_BETTER = ("swd", "frechet", "frechet_infinity", "kernel_distance", "memorised", "c2st_accuracy", "c2st_auc")
MORE_IS_BETTER = ("precision", "recall", "coverage", "inception_score")


def which_is_better(name: str) -> Literal["less", "more"] | None:
    """Whether less or more of a metric is better; None where neither is, as for density, MS-SSIM and AGE.

    Args:
        name: A metric, of features with their name: `frechet_attributes`.
    """
    if name.startswith("c2st") and name.endswith(("_train", "_choose")):  # of images that the judge has learnt from
        return None
    for metrics, answer in ((LESS_IS_BETTER, "less"), (MORE_IS_BETTER, "more")):
        if name in metrics or any(name.startswith(f"{metric}_") for metric in metrics):
            return cast(Literal["less", "more"], answer)
    return None


def classifier_metrics(name: str, probabilities: Features) -> Measured:
    """What is said of samples by the probabilities that a known classifier gives them, (n, classes).

    Of Inception's the `inception_score`, whose interval comes from its customary ten parts.
    """
    if name != "inception":
        return Measured({})
    score, deviation = inception_score(probabilities)
    interval = around(score, STUDENT_9 * deviation / 3, "ten disjoint parts")
    return Measured({"inception_score": score}, {"inception_score": interval})


def share_interval(share: float, count: int) -> Interval:
    """Wilson's interval for a share of `count`."""
    z = 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return Interval(float(middle - reach), float(middle + reach), SHARE)
