from dataclasses import replace

import numpy as np
import pytest

from celeba_gan.explorer.models import LoadedModel
from celeba_gan.explorer.training_images import SmallPixels, TrainingImages


@pytest.fixture(params=["classifier", "pixels"])
def training_images(plain: LoadedModel, request: pytest.FixtureRequest) -> TrainingImages:
    assert plain.training_images is not None
    if request.param == "classifier":
        return plain.training_images
    return replace(plain.training_images, classifier=None)


def test_a_training_image_is_its_own_nearest(training_images: TrainingImages) -> None:
    images = training_images.packed.gather(np.arange(56))
    for place in (0, 7, 55):
        nearest = training_images.nearest(images[place])
        np.testing.assert_array_equal(nearest[0].image, images[place])
        assert nearest[0].distance == pytest.approx(0, abs=1e-3)
        assert not nearest[0].is_mirrored


def test_a_mirrored_training_image_is_found_as_such(training_images: TrainingImages) -> None:
    image = training_images.packed.gather([7])[0]
    nearest = training_images.nearest(np.ascontiguousarray(image[:, ::-1]))
    np.testing.assert_array_equal(nearest[0].image, image[:, ::-1])
    assert nearest[0].is_mirrored


def test_each_training_image_is_there_once_nearest_first_and_no_other(training_images: TrainingImages) -> None:
    extractor = training_images.classifier or SmallPixels()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    train = training_images.packed.gather(np.arange(56))  # the others are valid and test
    query, plain, mirrored = (
        extractor(image[None]),
        extractor(train),
        extractor(np.ascontiguousarray(train[:, :, ::-1])),
    )
    distances = np.minimum(*(np.linalg.norm(some - query, axis=1) for some in (plain, mirrored)))
    found = training_images.nearest(image, 5)
    np.testing.assert_allclose([one.distance for one in found], np.sort(distances)[:5], rtol=1e-4)


def test_more_neighbours_than_images_are_all_of_them(training_images: TrainingImages) -> None:
    image = training_images.packed.gather([0])[0]
    assert len(training_images.nearest(image, 1000)) == 56


def test_distances_of_pixels_are_in_grey_levels() -> None:
    black, grey = np.zeros((1, 16, 16, 3), np.uint8), np.full((1, 16, 16, 3), 10, np.uint8)
    assert np.linalg.norm(SmallPixels()(grey) - SmallPixels()(black)) == pytest.approx(10, rel=1e-4)
