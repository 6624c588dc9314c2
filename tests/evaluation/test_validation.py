from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from celeba_gan.evaluation.metrics.swd import sliced_wasserstein
from celeba_gan.evaluation.validation import PATCHES, PROJECTIONS, ValidationDistance, choose_reals

Images = NDArray[np.uint8]


def smooth(count: int, seed: int) -> Images:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def given(images: Images, count: int, seed: int) -> Images:
    assert count == len(images)
    return images


def test_it_is_the_sliced_wasserstein_distance_to_one_half_and_the_floor_is_that_of_the_other() -> None:
    reals, samples = smooth(41, 0), smooth(20, 1)
    measure = ValidationDistance(reals)
    asked = []

    def sample(count: int, seed: int) -> Images:
        asked.append((count, seed))
        return samples

    options = {"projections": PROJECTIONS, "patches": PATCHES, "seed": 0}
    assert measure(sample) == {
        "swd_absolute_valid": sliced_wasserstein(reals[:20], samples, **options)["swd_absolute"],
        "swd_absolute_valid_floor": sliced_wasserstein(reals[:20], reals[20:40], **options)["swd_absolute"],
    }
    assert measure(sample) == measure(sample)
    assert set(asked) == {(20, 0)}


def test_it_tells_reals_from_worse_and_worse_images() -> None:
    reals = smooth(128, 0)
    measure = ValidationDistance(reals)
    noise = np.random.default_rng(1).normal(0, 1, (64, 16, 16, 3))
    others = smooth(64, 2).astype(float)
    worse = [(others + much * noise).clip(0, 255).astype(np.uint8) for much in (0, 60, 100)]
    distances = [measure(partial(given, images))["swd_absolute_valid"] for images in worse]
    assert measure(partial(given, reals[:64]))["swd_absolute_valid"] == 0
    assert distances == sorted(distances)
    assert distances[0] < 1.25 * measure.floor < distances[-1]


def test_black_reals_give_finite_distances() -> None:
    measure = ValidationDistance(np.zeros((40, 16, 16, 3), np.uint8))
    distances = [
        measure(partial(given, np.full((20, 16, 16, 3), level, np.uint8)))["swd_absolute_valid"]
        for level in (0, 10, 100)
    ]
    assert distances == [0, pytest.approx(distances[2] / 10), pytest.approx(distances[2])]
    assert 0 < distances[1] < distances[2] < 1e6
    assert measure.floor == 0


@pytest.mark.parametrize(("size", "first"), [(16, 0), (8, 4)])
def test_reals_are_the_same_ones_each_time_and_the_centre_where_networks_see_crops(size: int, first: int) -> None:
    images = smooth(100, 0)
    chosen = choose_reals(lambda indices: images[indices], 80, 100, size, 6)
    assert chosen.shape == (6, size, size, 3)
    centres = images[80:, first : first + size, first : first + size]
    places = [next(i for i, centre in enumerate(centres) if np.array_equal(centre, one)) for one in chosen]
    assert len(set(places)) == 6
    assert places != sorted(places)  # in random order, so that halves are alike
    assert np.array_equal(chosen, choose_reals(lambda indices: images[indices], 80, 100, size, 6))
    assert len(choose_reals(lambda indices: images[indices], 80, 100, size, 500)) == 20
