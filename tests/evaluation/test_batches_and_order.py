"""What is measured depends on the images alone: neither on how they are batched, nor on their order."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from celeba_gan.evaluation.features.classifier import AttributeClassifier, AttributeNetwork
from celeba_gan.evaluation.metrics import kernel, manifolds
from celeba_gan.evaluation.metrics.frechet import Gaussian, frechet_distance, measure_frechet
from celeba_gan.evaluation.metrics.inception_score import inception_score
from celeba_gan.evaluation.metrics.kernel import kernel_distance
from celeba_gan.evaluation.metrics.manifolds import compare_manifolds
from celeba_gan.evaluation.metrics.originality import measure_originality
from celeba_gan.evaluation.metrics.swd import sliced_wasserstein

Features = NDArray[np.float32]


def features(count: int, seed: int, shift: float = 0.0, dimensions: int = 12) -> Features:
    """Like those behind a ReLU: far from 0, and without negative ones."""
    values = np.random.default_rng(seed).normal(size=(count, dimensions)) * np.linspace(0.3, 2, dimensions)
    return np.maximum(values + 3 + shift, 0).astype(np.float32)


FIRST, SECOND, THIRD = features(240, 0), features(180, 1, shift=0.3), features(200, 2)


def shuffled(values: Features, seed: int) -> Features:
    return values[np.random.default_rng(seed).permutation(len(values))]


def in_batches(values: Features, seed: int) -> list[Features]:
    cuts = np.random.default_rng(seed).integers(1, len(values), 6)
    return [part for part in np.split(values, np.sort(cuts)) if len(part)]


METRICS: dict[str, Callable[[Features, Features, Features], list[float]]] = {
    "frechet": lambda a, b, c: [frechet_distance(Gaussian.of([a]), Gaussian.of([b]))],
    "frechet with its error": lambda a, b, c: [(m := measure_frechet(a, b)).value, m.standard_error()],
    "kernel": lambda a, b, c: [kernel_distance(a, b).value],
    "manifolds": lambda a, b, c: list(vars(compare_manifolds(a, b)).values()),
    "originality": lambda a, b, c: list(vars(measure_originality(a, [b], c)).values()),
}


@pytest.mark.parametrize("name", METRICS)
def test_the_order_of_features_does_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Repeated samples need as many of either kind, and then any cut of the longer set decides which.
    whole = METRICS[name](FIRST[:200], SECOND, THIRD)
    for module in (kernel, manifolds):
        monkeypatch.setattr(module, "_BLOCK", 37)
    for seed in range(4):
        again = METRICS[name](*(shuffled(values, seed) for values in (FIRST[:200], SECOND, THIRD)))
        assert again == pytest.approx(whole, rel=1e-5, abs=1e-9)


def test_the_batches_of_features_do_not_matter() -> None:
    whole = frechet_distance(Gaussian.of([FIRST]), Gaussian.of([SECOND]))
    for seed in range(6):
        parts = [in_batches(shuffled(values, seed), seed) for values in (FIRST, SECOND)]
        assert frechet_distance(*map(Gaussian.of, parts)) == pytest.approx(whole, rel=1e-5)


def test_the_order_within_its_parts_does_not_matter_to_the_inception_score() -> None:
    probabilities = torch.from_numpy(features(200, 3)).softmax(dim=1).numpy()
    parts = np.split(probabilities, 10)
    again = np.concatenate([shuffled(part, seed) for seed, part in enumerate(parts)])
    assert inception_score(again) == pytest.approx(inception_score(probabilities), rel=1e-5)
    assert inception_score(shuffled(probabilities, 0), 1) == pytest.approx(inception_score(probabilities, 1), rel=1e-5)


def test_batches_of_images_do_not_matter_to_the_attribute_classifier() -> None:
    """Of Inception and of files of the user's own, see there."""
    images = np.random.default_rng(0).integers(0, 256, (13, 32, 32, 3), dtype=np.uint8)
    torch.manual_seed(0)
    extractor = AttributeClassifier(["a", "b"], AttributeNetwork(2).state_dict())
    batches = [extractor.describe(part) for part in np.split(images, [1, 2, 9])]
    for whole, turned, parts in zip(
        extractor.describe(images), extractor.describe(images[::-1].copy()), zip(*batches, strict=True), strict=True
    ):
        for other in (turned[::-1], np.concatenate(parts)):
            assert np.allclose(other, whole, rtol=1e-5, atol=1e-5 * float(np.abs(whole).max()))


def test_equal_sets_score_nought_or_all() -> None:
    again = shuffled(FIRST, 5)
    assert frechet_distance(Gaussian.of([FIRST]), Gaussian.of([again])) < 1e-9
    found = compare_manifolds(FIRST, again)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    pictures = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    assert set(sliced_wasserstein(pictures, pictures, projections=16, patches=4, seed=0).values()) == {0}


def test_halves_of_one_set_are_within_two_standard_errors_of_nought() -> None:
    """Of the unbiased kernel distance, as often as for Student's t with nine degrees of freedom: 92 of 100."""
    inside = 0
    for seed in range(100):
        halves = np.split(shuffled(features(300, 100 + seed), seed), 2)
        distance = kernel_distance(*halves)
        inside += abs(distance.value) < 2 * distance.standard_error
    assert 85 <= inside < 100
