import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from celeba_gan.evaluation.frechet import Gaussian, frechet_distance, frechet_of_infinite_sets


def features(count: int, dimensions: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(dimensions, dimensions)) / dimensions**0.5
    return (random.normal(size=(count, dimensions)) @ mixing * scale + shift).astype(np.float32)


def textbook(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """As it is printed, with scipy's matrix root."""
    means = [values.astype(np.float64).mean(0) for values in (first, second)]
    covariances = [np.cov(values.astype(np.float64), rowvar=False) for values in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1])
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root.real))


@pytest.mark.parametrize("dimensions", [1, 5, 64])
def test_equals_the_textbook(dimensions: int) -> None:
    first, second = features(500, dimensions, 0), features(300, dimensions, 1, scale=1.4, shift=0.3)
    if dimensions == 1:
        first, second = np.concatenate([first, first], 1), np.concatenate([second, -second], 1)
    ours = frechet_distance(Gaussian.of([first]), Gaussian.of([second]))
    assert ours == pytest.approx(textbook(first, second), rel=1e-6, abs=1e-6)


def test_closed_form_of_two_gaussians() -> None:
    """Diagonal covariances: |m1 - m2|^2 + sum (s1 - s2)^2."""
    first = Gaussian(101, torch.zeros(3).double(), torch.diag(torch.tensor([1.0, 4.0, 9.0]).double()) * 100)
    second = Gaussian(
        101, torch.tensor([1.0, 2.0, 2.0]).double(), torch.diag(torch.tensor([4.0, 4.0, 1.0]).double()) * 100
    )
    assert frechet_distance(first, second) == pytest.approx(9 + 1 + 0 + 4)


def test_equal_sets_are_at_distance_nought() -> None:
    gaussian = Gaussian.of([features(400, 32, 0, shift=5)])
    assert frechet_distance(gaussian, gaussian) < 1e-9


def test_fewer_features_than_dimensions_are_no_trouble() -> None:
    first, second = features(20, 64, 0), features(30, 64, 1)
    ours = frechet_distance(Gaussian.of([first]), Gaussian.of([second]))
    assert ours == pytest.approx(textbook(first, second), rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 299), max_size=8), seed=st.integers(0, 99))
def test_neither_batches_nor_their_order_matter(cuts: list[int], seed: int) -> None:
    values = features(300, 8, 3, shift=100)  # a large mean, as of features after a ReLU
    shuffled = values[np.random.default_rng(seed).permutation(300)]
    whole, parts = Gaussian.of([values]), Gaussian.of(np.split(shuffled, sorted(set(cuts))))
    assert parts.count == whole.count
    assert torch.allclose(parts.mean, whole.mean, rtol=1e-12)
    assert torch.allclose(parts.covariance, whole.covariance, rtol=1e-9, atol=1e-12)


def test_extrapolation_takes_away_most_of_the_bias() -> None:
    """Two sets of one source: the distance without end is 0."""
    first, second = features(2000, 32, 0), features(2000, 32, 1)
    plain = frechet_distance(Gaussian.of([first]), Gaussian.of([second]))
    without_end, bias = frechet_of_infinite_sets(first, second, seed=0)
    assert plain > 0.1
    assert abs(without_end) < 0.3 * plain
    assert bias == pytest.approx(plain, rel=0.3)


def test_too_few_are_refused() -> None:
    one = Gaussian.of([features(1, 4, 0)])
    with pytest.raises(ValueError, match="two features a side, not 1"):
        frechet_distance(one, one)
    with pytest.raises(ValueError, match="got none"):
        Gaussian.of([])
