import numpy as np
import pytest
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics import manifolds
from celeba_gan.evaluation.metrics.manifolds import compare_manifolds, nearest


def features(count: int, seed: int, dimensions: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


def brute_force(real: NDArray[np.float32], fake: NDArray[np.float32], k: int) -> list[float]:
    def apart(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return float(np.linalg.norm(a.astype(float) - b.astype(float)))

    def radius(i: int, among: NDArray[np.float32]) -> float:
        return sorted(apart(among[i], other) for j, other in enumerate(among) if j != i)[k - 1]

    of_real = [radius(i, real) for i in range(len(real))]
    of_fake = [radius(i, fake) for i in range(len(fake))]
    inside = np.array([[apart(r, f) <= of_real[i] for f in fake] for i, r in enumerate(real)])
    reached = np.array([[apart(r, f) <= of_fake[j] for j, f in enumerate(fake)] for r in real])
    return [inside.any(0).mean(), reached.any(1).mean(), inside.sum() / (k * len(fake)), inside.any(1).mean()]


@pytest.mark.parametrize(("k", "shift"), [(1, 0.0), (3, 0.5), (5, 1.5)])
def test_equals_all_pairs_by_hand(monkeypatch: pytest.MonkeyPatch, k: int, shift: float) -> None:
    real, fake = features(60, 0), features(45, 1) * 0.8 + np.float32(shift)
    for block in (7, 1024):
        monkeypatch.setattr(manifolds, "_BLOCK", block)
        found = compare_manifolds(real, fake, k)
        values = [found.precision, found.recall, found.density, found.coverage]
        assert values == pytest.approx(brute_force(real, fake, k), abs=1e-6)


def test_samples_of_the_same_source_reach_nearly_everything() -> None:
    found = compare_manifolds(features(1000, 0), features(1000, 1))
    assert min(found.precision, found.recall, found.coverage) > 0.85
    assert found.density == pytest.approx(1, abs=0.1)


def test_dropped_modes_cost_recall_and_coverage_but_not_precision() -> None:
    two_modes = features(1000, 0) + np.where(np.arange(1000) % 2, 20, -20)[:, None].astype(np.float32)
    one_mode = features(1000, 1) + 20
    found = compare_manifolds(two_modes, one_mode)
    assert found.precision > 0.9
    assert found.recall < 0.55
    assert found.coverage < 0.55


def test_samples_far_from_everything_cost_precision() -> None:
    found = compare_manifolds(features(500, 0), features(500, 1) + 50)
    assert (found.precision, found.density, found.coverage) == (0, 0, 0)


def test_nearest_neighbours_are_found_and_copies_are_at_distance_nought() -> None:
    among = features(300, 0)
    distances, indices = nearest(among[[5, 17]], among, 3)
    assert distances.shape == indices.shape == (2, 3)
    assert indices[:, 0].tolist() == [5, 17]
    assert distances[:, 0].tolist() == [0, 0]
    expected = np.sort(np.linalg.norm(among - among[5], axis=1))[:3]
    assert distances[0] == pytest.approx(expected, abs=1e-5)


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="than 5 and 40"):
        compare_manifolds(features(5, 0), features(40, 1))
