"""Intervals of numbers, from resampling what they were measured on."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from celeba_gan.evaluation.documents import Interval

Resampled = Callable[[Sequence[NDArray[np.int64]]], float]
"""Indices into each set -> the number measured on those."""

STUDENT_9 = 2.262
"""The 0.975 quantile of Student's t with nine degrees of freedom, for ten parts."""
SHARE = "Wilson"
"""The method of intervals of shares. They take radii, or the trained network, as given: they hold for no others."""


def around(value: float, reach: float, method: str) -> Interval:
    """From `reach` below the value to as much above."""
    return Interval(low=value - reach, high=value + reach, method=method)


def share_interval(share: float, count: int) -> Interval:
    """Wilson's interval for a share of `count` (Wilson 1927)."""
    z = 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return Interval(low=float(middle - reach), high=float(middle + reach), method=SHARE)


def bootstrap(measure: Resampled, sizes: Sequence[int], value: float, seed: int, rounds: int = 200) -> Interval:
    """Resamples every set with replacement, `rounds` times (Efron 1979).

    A set with repetitions has another expectation than one without (a Fréchet distance grows), so only the spread is
    taken from the rounds, and centred on `value`, which was measured on all.
    """
    random = np.random.default_rng(seed)
    values = [measure([random.integers(0, size, size) for size in sizes]) for _ in range(rounds)]
    low, middle, high = np.quantile(values, (0.025, 0.5, 0.975))
    return Interval(low=value + float(low - middle), high=value + float(high - middle), method=f"bootstrap of {rounds}")
