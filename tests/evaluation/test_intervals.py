from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from celeba_gan.evaluation.intervals import Interval, bootstrap, jackknife


def mean_of(values: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, Interval, Interval]:
    def measure(indices: Sequence[NDArray[np.int64]]) -> float:
        return float(values[indices[0]].mean() - other[indices[1]].mean())

    sizes = (len(values), len(other))
    value = measure([np.arange(size) for size in sizes])
    return value, bootstrap(measure, sizes, value, seed=0), jackknife(measure, sizes, value)


def test_both_hold_the_truth_about_as_often_as_they_say() -> None:
    random, held = np.random.default_rng(0), np.zeros(2)
    for _ in range(200):
        _, *intervals = mean_of(random.normal(1, 1, 100), random.normal(0, 2, 150))
        held += [interval.low < 1 < interval.high for interval in intervals]
    assert (held / 200 > 0.88).all()
    assert (held / 200 < 1).all()


def test_their_width_is_that_of_theory() -> None:
    random = np.random.default_rng(1)
    value, *intervals = mean_of(random.normal(0, 1, 4000), random.normal(0, 1, 4000))
    for interval in intervals:
        assert interval.low < value < interval.high
        assert interval.high - interval.low == pytest.approx(2 * 1.96 * (2 / 4000) ** 0.5, rel=0.5)


def test_the_interval_lies_about_the_value_although_repetitions_move_it() -> None:
    """The number of different values: every round with replacement has fewer."""
    values = np.arange(500)
    interval = bootstrap(lambda indices: float(len(np.unique(values[indices[0]]))), [500], 500.0, seed=0)
    assert interval.low < 500 < interval.high


def test_fewer_members_than_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="10 parts needs as many members of every set, not 9"):
        jackknife(lambda indices: 0.0, [9, 100], 0.0)
