import numpy as np
import pytest
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics.originality import measure_originality


def features(count: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)


TRAIN, TEST = features(1000, 0), features(800, 1)


def test_new_samples_of_the_same_source_are_original() -> None:
    found = measure_originality(features(800, 2), [TRAIN], TEST)
    assert found.memorised < 0.03
    assert found.repeated < 0.03
    assert found.distance_ratio == pytest.approx(1, abs=0.1)


def test_copies_of_training_images_are_found_by_their_share() -> None:
    samples = features(800, 2)
    samples[:200] = TRAIN[:200] + np.random.default_rng(3).normal(0, 0.01, (200, 6)).astype(np.float32)
    assert measure_originality(samples, [TRAIN], TEST).memorised == pytest.approx(0.26, abs=0.02)
    assert measure_originality(samples, [TEST, TRAIN], TEST).memorised == 0  # test images among those of training
    assert measure_originality(samples, [TRAIN[500:], TRAIN[:500]], TEST) == measure_originality(samples, [TRAIN], TEST)
    everything = measure_originality(TRAIN[:800], [TRAIN], TEST)
    assert (everything.memorised, everything.distance_ratio) == (1, 0)


def test_repeated_samples_are_found_although_they_copy_nobody() -> None:
    found = measure_originality(np.repeat(features(80, 2), 10, axis=0), [TRAIN], TEST)
    assert found.repeated == 1
    assert found.memorised < 0.05


def test_copies_are_found_although_test_images_have_twins_too() -> None:
    twins = TEST.copy()
    twins[:16] = TRAIN[:16]
    twins[16:32] = twins[32:48]
    found = measure_originality(TRAIN[:800], [TRAIN], twins)
    assert found.memorised == 1
    assert measure_originality(np.repeat(features(1, 2), 800, axis=0), [TRAIN], twins).repeated == 1


def test_without_a_distance_of_unseen_images_there_is_no_ratio() -> None:
    black = np.zeros((800, 6), np.float32)
    found = measure_originality(features(800, 2), [black], black)
    assert (found.memorised, found.distance_ratio, found.repeated) == (0, None, 0)
    found = measure_originality(black, [black], black)
    assert (found.memorised, found.distance_ratio, found.repeated) == (1, None, 1)


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="two samples"):
        measure_originality(features(1, 0), [TRAIN], TEST)


def test_every_search_is_reported() -> None:
    searches: list[tuple[int, int]] = []
    measure_originality(features(20, 2), [TRAIN, TRAIN], TEST, lambda *search: searches.append(search))
    assert searches == [(done, 6) for done in range(1, 7)]
