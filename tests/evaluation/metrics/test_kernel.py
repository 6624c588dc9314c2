import numpy as np
import pytest
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics import kernel
from celeba_gan.evaluation.metrics.kernel import kernel_distance


def features(count: int, seed: int, shift: float = 0.0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(count, 6)) + shift).astype(np.float32)


def brute_force(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    def k(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return float((np.dot(a.astype(float), b.astype(float)) / len(a) + 1) ** 3)

    within = [[k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j] for s in (first, second)]
    between = [k(a, b) for a in first for b in second]
    return 1000 * float(np.mean(within[0]) + np.mean(within[1]) - 2 * np.mean(between))


def test_equals_all_pairs_by_hand() -> None:
    first, second = features(37, 0), features(52, 1, shift=0.4)
    assert kernel_distance(first, second).value == pytest.approx(brute_force(first, second), rel=1e-9)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = features(150, 0), features(99, 1, shift=0.4)
    whole = kernel_distance(first, second)
    monkeypatch.setattr(kernel, "_BLOCK", 7)
    parts = kernel_distance(first, second)
    assert parts.value == pytest.approx(whole.value, rel=1e-9)
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=1e-9)


def test_sets_of_one_source_are_within_two_standard_errors_of_nought_about_as_often_as_they_should() -> None:
    distances = [kernel_distance(features(200, 2 * seed), features(200, 2 * seed + 1)) for seed in range(60)]
    inside = np.mean([abs(distance.value) < 2 * distance.standard_error for distance in distances])
    assert inside > 0.85
    mean = np.mean([distance.value for distance in distances])
    assert abs(mean) < 3 * np.std([distance.value for distance in distances]) / 60**0.5  # unbiased


def test_the_standard_error_is_the_spread_over_repetitions() -> None:
    distances = [kernel_distance(features(200, 2 * seed), features(200, 2 * seed + 1, shift=0.3)) for seed in range(60)]
    spread = np.std([distance.value for distance in distances])
    assert np.mean([distance.standard_error for distance in distances]) == pytest.approx(spread, rel=0.3)


def test_a_greater_shift_is_a_greater_distance() -> None:
    distances = [kernel_distance(features(300, 0), features(300, 1, shift)).value for shift in (0, 0.2, 0.5, 1)]
    assert distances == sorted(distances)


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="20 features a side, not 19"):
        kernel_distance(features(19, 0), features(40, 1))
