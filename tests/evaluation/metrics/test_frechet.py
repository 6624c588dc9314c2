import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from celeba_gan.evaluation.metrics import frechet
from celeba_gan.evaluation.metrics.frechet import Gaussian, frechet_distance, measure_frechet


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
    found = measure_frechet(first, second)
    assert found.value > 0.1
    assert abs(found.of_infinite_sets) < 0.3 * found.value


def test_too_few_are_refused() -> None:
    one = Gaussian.of([features(1, 4, 0)])
    with pytest.raises(ValueError, match="two features a side, not 1"):
        frechet_distance(one, one)
    with pytest.raises(ValueError, match="got none"):
        Gaussian.of([])


@pytest.mark.parametrize(("count", "other"), [(200, 300), (40, 90), (90, 40), (30, 20), (64, 65)])
def test_all_ways_to_the_value_agree(count: int, other: int) -> None:
    """More features than dimensions or fewer, on either side."""
    first, second = features(count, 64, 0), features(other, 64, 1, scale=1.3, shift=0.2)
    plain = frechet_distance(Gaussian.of([first]), Gaussian.of([second]))
    assert measure_frechet(first, second).value == pytest.approx(plain, rel=1e-6)
    halves = [frechet_distance(Gaussian.of([first[i::2]]), Gaussian.of([second[i::2]])) for i in (0, 1)]
    assert measure_frechet(first, second).of_infinite_sets == pytest.approx(2 * plain - np.mean(halves), rel=1e-5)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = features(90, 64, 0), features(120, 64, 1, scale=1.3)
    whole = measure_frechet(first, second)
    monkeypatch.setattr(frechet, "_BLOCK", 7)
    monkeypatch.setattr(frechet, "_WIDTH", 10)
    blocks = measure_frechet(first, second)
    assert blocks.value == pytest.approx(whole.value, rel=1e-9)
    assert blocks.of_infinite_sets == pytest.approx(whole.of_infinite_sets, rel=1e-8)
    assert blocks.standard_error() == pytest.approx(whole.standard_error(), rel=1e-5)


def test_dimensions_without_width_are_no_trouble() -> None:
    """Dead units: covariances without full rank, although there are features enough."""
    first, second = features(200, 16, 0), features(200, 16, 1, scale=1.3)
    expected = measure_frechet(first, second)
    dead = np.ones((200, 3), np.float32)
    found = measure_frechet(np.concatenate([first, dead], 1), np.concatenate([second, dead], 1))
    assert found.value == pytest.approx(expected.value, rel=1e-6)
    assert found.standard_error() == pytest.approx(expected.standard_error(), rel=1e-4)


@pytest.mark.parametrize(("count", "other"), [(60, 90), (90, 60)])
def test_influences_are_the_derivatives_by_the_weights(count: int, other: int) -> None:
    sets = [features(count, 16, 0), features(other, 16, 1, scale=1.3, shift=0.2)]

    def weighted(of: int, index: int, step: float) -> float:
        """Textbook distance of the sets with biased covariances, one weight changed."""
        means, covariances = [], []
        for which, values in enumerate(sets):
            weights = np.ones(len(values))
            weights[index] += step * len(values) * (which == of)
            means.append(np.average(values.astype(np.float64), axis=0, weights=weights))
            covariances.append(np.cov(values.astype(np.float64), rowvar=False, aweights=weights, ddof=0))
            covariances[-1] *= len(values) / (len(values) - 1)
        root = sqrtm(covariances[0] @ covariances[1])
        return float(((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root.real))

    for of in (0, 1):
        influences = measure_frechet(*sets).influences[of]
        centred = influences - influences.mean()
        for index in (0, 7):
            slope = (weighted(of, index, 1e-4) - weighted(of, index, -1e-4)) / 2e-4
            assert float(centred[index]) == pytest.approx(slope, rel=0.05, abs=0.05)


def test_the_jackknife_to_first_order_is_the_jackknife() -> None:
    first, second = features(600, 16, 0), features(400, 16, 1, scale=1.2)
    found = measure_frechet(first, second)
    left = [
        frechet_distance(
            *(
                Gaussian.of([np.delete(one, np.array_split(range(len(one)), 10)[part], axis=0)])
                for one in (first, second)
            )
        )
        for part in range(10)
    ]
    exact = np.sqrt(9 * np.var(left))
    assert found.standard_error(10) == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.2, 0.1)])
def test_the_limit_and_its_interval_hold_the_distance_of_the_gaussians(scale: float, shift: float) -> None:
    """Known: the covariances are multiples of each other."""
    mixing = np.random.default_rng(99).normal(size=(16, 16)) / 4
    known = 16 * shift**2 + (scale - 1) ** 2 * (mixing**2).sum()
    found = [
        measure_frechet(features(200, 16, 2 * seed), features(200, 16, 2 * seed + 1, scale, shift))
        for seed in range(120)
    ]
    limits, errors = np.array([[f.of_infinite_sets, f.standard_error()] for f in found]).T
    assert np.mean(np.abs(limits - known) < 1.96 * errors) > 0.9
    assert errors.mean() == pytest.approx(limits.std(), rel=0.3)
    assert abs(limits.mean() - known) < 0.1 * np.mean([f.value - known for f in found])  # nine tenths of the bias
