from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics.intervals import Interval, around, bootstrap


def mean_of(values: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, Interval]:
    def measure(indices: Sequence[NDArray[np.int64]]) -> float:
        return float(values[indices[0]].mean() - other[indices[1]].mean())

    sizes = (len(values), len(other))
    value = measure([np.arange(size) for size in sizes])
    return value, bootstrap(measure, sizes, value, seed=0)


def test_it_holds_the_truth_about_as_often_as_it_says() -> None:
    random, held = np.random.default_rng(0), 0
    for _ in range(200):
        _, interval = mean_of(random.normal(1, 1, 100), random.normal(0, 2, 150))
        held += interval.low < 1 < interval.high
    assert 0.88 < held / 200 < 1


def test_its_width_is_that_of_theory() -> None:
    random = np.random.default_rng(1)
    value, interval = mean_of(random.normal(0, 1, 4000), random.normal(0, 1, 4000))
    assert interval.low < value < interval.high
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * (2 / 4000) ** 0.5, rel=0.2)


def test_the_interval_lies_about_the_value_although_repetitions_move_it() -> None:
    """The number of different values: every round with replacement has fewer."""
    values = np.arange(500)
    interval = bootstrap(lambda indices: float(len(np.unique(values[indices[0]]))), [500], 500.0, seed=0)
    assert interval.low < 500 < interval.high


def test_around() -> None:
    assert around(3.0, 0.5, "jackknife").model_dump() == {"low": 2.5, "high": 3.5, "method": "jackknife"}
