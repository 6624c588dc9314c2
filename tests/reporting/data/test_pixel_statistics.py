import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from packed_folder import pack
from PIL import Image

from celeba_gan.reporting.data.pixel_statistics import PixelStatistics, draw_mean, measure_pixels


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_mean_and_deviation_are_numpys(tmp_path: Path, split: str) -> None:
    """At this size 42 images are read at once: the pieces end at shards, at the split, and in between."""
    images = noise(110, 256, 256, 3)
    start, stop = (0, 75) if split == "train" else (75, 110)
    statistics = measure_pixels(pack(tmp_path, images, 60, (0, 75)), split)
    assert statistics.images == stop - start
    np.testing.assert_allclose(statistics.mean, images[start:stop].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(statistics.deviation, images[start:stop].std(axis=0), rtol=1e-9)
    assert statistics.gray == 0


def test_sums_of_the_brightest_images_do_not_overflow(tmp_path: Path) -> None:
    statistics = measure_pixels(pack(tmp_path, np.full((70_000, 8, 8, 3), 255, np.uint8), 70_000, (0, 70_000)))
    assert (statistics.mean == 255).all()
    assert (statistics.deviation == 0).all()


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    peaks = []
    for count in (2_000, 6_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        packed = pack(folder, np.zeros((count, 64, 64, 3), np.uint8), 2_000, (0, count))
        assert len(packed) == count
        tracemalloc.start()
        measure_pixels(packed)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 40e6  # all 6,000 images are 74 MB


def test_gray_images_are_counted_also_with_the_noise_of_jpeg(tmp_path: Path) -> None:
    gray = noise(5, 16, 16, 1).repeat(3, axis=3)
    noisy = np.clip(gray.astype(int) + np.random.default_rng(1).integers(-1, 2, gray.shape), 0, 255).astype(np.uint8)
    colour = gray.copy()
    colour[..., 0] = np.clip(colour[..., 0].astype(int) // 2 + 60, 0, 255)
    packed = pack(tmp_path, np.concatenate([gray, noisy, colour]), 64, (0, 15))
    assert measure_pixels(packed).gray == 10


def test_no_training_image_is_an_error_not_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images"):
        measure_pixels(pack(tmp_path, noise(3, 8, 8, 3), 4, (0, 0)))


def test_the_picture_shows_the_mean_and_beside_it_the_deviation() -> None:
    mean = np.zeros((8, 8, 3))
    mean[:, :4] = (200.4, 100.0, 49.6)
    deviation = np.zeros((8, 8, 3))
    deviation[4:] = 31.0
    picture = draw_mean(PixelStatistics(10, mean, deviation, 0))
    enlarged = Image.fromarray(np.rint(mean).astype(np.uint8)).resize((320, 320), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(picture)[12:332, 12:332], np.asarray(enlarged))
    assert picture.getpixel((40, 40)) == (200, 100, 50)
    beside = np.asarray(picture)[12:332, 344:664]
    assert (beside[:120] == 0).all()
    assert (beside[200:] == 255).all()  # the largest is white


def test_equal_images_have_a_black_deviation() -> None:
    picture = draw_mean(PixelStatistics(2, np.full((8, 8, 3), 9.0), np.zeros((8, 8, 3)), 2))
    assert (np.asarray(picture)[12:332, 344:664] == 0).all()


def test_progress_ends_with_the_split(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    packed = pack(tmp_path, noise(110, 256, 256, 3), 60, (0, 75))
    measure_pixels(packed, "valid", lambda *place: seen.append(place))
    assert seen == [(35, 35)]
    measure_pixels(packed, "train", lambda *place: seen.append(place))
    assert seen[1:] == [(42, 75), (60, 75), (75, 75)]
